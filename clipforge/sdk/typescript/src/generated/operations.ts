// Made by `manage.py generate_sdk` from the schema of the API: not to be edited.

import { type CallOptions, Calls, type Upload, type WriteOptions } from "../calls.js";
import { type Page, Pages } from "../pages.js";
import type * as models from "./models.js";

export type WebhookEvent =
  | models.EndpointTestEvent
  | models.ProjectReadyEvent
  | models.ProjectEmptyEvent
  | models.ProjectFailedEvent
  | models.ProjectCancelledEvent
  | models.ProjectEndingEvent
  | models.ProjectExpiringEvent
  | models.ExportReadyEvent
  | models.ExportFailedEvent
  | models.ExportCancelledEvent
  | models.ExportEndingEvent
  | models.ExportExpiringEvent
  | models.CreditsLowEvent
  | models.PaymentSucceededEvent
  | models.PaymentFailedEvent
  | models.PaymentRefundedEvent;

export class Operations extends Calls {
  /**
   * Projects, newest first.
   *
   * Filters combine. `ids` and `external_id` find what you know, `q` what you look for, `updated_after` what has changed.
   *
   * Needs the scope `read`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `external_id`: With this id of your own.
   *
   * `ids`: Multiple values may be separated by commas.
   *
   * `page_size`: So many rows at most.
   *
   * `q`: In the title or the external id, in any case.
   *
   * `sort`: Newest first, by this time.
   *
   * `status`: In this status; of several, in any of them.
   *
   * `updated_after`: Changed at this time or later; ordered by the time of the change, unless `sort` says else.
   *
   * `updated_before`: Changed before this time; ordered by the time of the change, unless `sort` says else.
   */
  listProjects(
    query: { created_after?: string; created_before?: string; external_id?: string; ids?: readonly (string)[]; page_size?: number; q?: string; sort?: "created_at" | "updated_at"; status?: readonly ("ANALYZING" | "CANCELLED" | "EMPTY" | "EXPIRED" | "FAILED" | "QUEUED" | "READY" | "UPLOADED")[]; updated_after?: string; updated_before?: string } = {},
    options: CallOptions = {},
  ): Pages<models.Project> {
    return new Pages((cursor) => this.json<Page<models.Project>>({ method: "GET", address: "/api/v1/projects", query: { ...query, ids: this.joined(query.ids), cursor }, ...options }));
  }

  /**
   * Upload a video, or name its address, and start its analysis.
   *
   * Reserves 1 credit for each started minute of the source; they are charged when something is worth clipping, and given back otherwise. What the moments should be like may be said here; it can be said again for nothing, see `POST /projects/{id}/moments/select`. A source with a `source_url` is fetched first (stage `importing`): until its length is known, 1 credit is reserved.
   *
   * Needs the scope `write`.
   */
  createProject(
    file: Upload,
    body: models.ProjectUploadRequest,
    options: WriteOptions = {},
  ): Promise<models.Project> {
    return this.json({ method: "POST", address: "/api/v1/projects", file, body, idempotent: true, ...options });
  }

  /**
   * One project, with its progress.
   *
   * Poll it with `If-None-Match`: what has not changed is 304. `Retry-After` says when there may be news; `wait` lets the request wait for it.
   *
   * Needs the scope `read`.
   *
   * `expand`: Also show the first 50 of these, by commas.
   *
   * `wait`: With `If-None-Match`: answer once there is news, after so many seconds at the latest.
   */
  getProject(
    projectId: string,
    query: { expand?: readonly ("exports" | "moments")[]; wait?: number } = {},
    options: CallOptions = {},
  ): Promise<models.ProjectDetail> {
    return this.json({ method: "GET", address: "/api/v1/projects/{project_id}", path: { project_id: projectId }, query: { ...query, expand: this.joined(query.expand) }, ...options });
  }

  /**
   * Change the title, the external id or the metadata.
   *
   * Only what is given is changed. An external id is taken away with null.
   *
   * Needs the scope `write`.
   */
  updateProject(
    projectId: string,
    body: models.PatchedProjectUpdateRequest,
    options: CallOptions = {},
  ): Promise<models.Project> {
    return this.json({ method: "PATCH", address: "/api/v1/projects/{project_id}", path: { project_id: projectId }, body, ...options });
  }

  /**
   * Delete the project with its moments, exports and files.
   *
   * A running analysis is cancelled first, and its credits come back.
   *
   * Needs the scope `write`.
   */
  deleteProject(
    projectId: string,
    options: CallOptions = {},
  ): Promise<void> {
    return this.json({ method: "DELETE", address: "/api/v1/projects/{project_id}", path: { project_id: projectId }, ...options });
  }

  /**
   * Stop the analysis and give the credits back.
   *
   * Repeating it changes nothing.
   *
   * Needs the scope `write`.
   */
  cancelProject(
    projectId: string,
    options: CallOptions = {},
  ): Promise<models.Project> {
    return this.json({ method: "POST", address: "/api/v1/projects/{project_id}/cancel", path: { project_id: projectId }, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of the subtitles.
   *
   * For a `track` of a player, beside the source. 404 `no_transcript` where nothing is spoken.
   *
   * Needs the scope `read`.
   */
  downloadProjectCaptions(
    name: "captions.srt" | "captions.vtt",
    projectId: string,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/projects/{project_id}/captions/{name}", path: { name: name, project_id: projectId }, isFile: true, ...options });
  }

  /**
   * Score and sub-scores over the length of the source.
   *
   * 300 values each at most, a second apart at least. As SVG they are drawn one under the other, with the moments shaded. Free; nothing is decoded. 409 `features_missing` for a project that was analysed before features were kept.
   *
   * Needs the scope `read`.
   */
  getCurves(
    projectId: string,
    options: CallOptions = {},
  ): Promise<models.Curves> {
    return this.json({ method: "GET", address: "/api/v1/projects/{project_id}/curves", path: { project_id: projectId }, ...options });
  }

  /**
   * Score and sub-scores over the length of the source.
   *
   * 300 values each at most, a second apart at least. As SVG they are drawn one under the other, with the moments shaded. Free; nothing is decoded. 409 `features_missing` for a project that was analysed before features were kept.
   *
   * Needs the scope `read`.
   *
   * `format`: Of the text.
   */
  getCurvesText(
    projectId: string,
    query: { format: "svg" },
    options: CallOptions = {},
  ): Promise<string> {
    return this.text({ method: "GET", address: "/api/v1/projects/{project_id}/curves", path: { project_id: projectId }, query, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of all finished files as one ZIP.
   *
   * A link of its own, good for some minutes, that a browser can follow: whoever has it may fetch the files. The archive is made while it is sent, without compression; it has no ranges and no length. What is deleted meanwhile is left out, and named in its `missing.txt`. Where a server sends as many as it can already, it is 503 `archives_busy`.
   *
   * Needs the scope `read`.
   */
  downloadProjectExports(
    projectId: string,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/projects/{project_id}/exports.zip", path: { project_id: projectId }, isFile: true, ...options });
  }

  /**
   * Moments of a project, best first.
   *
   * With the reasons of each score. `min_score` leaves out what is weaker.
   *
   * Needs the scope `read`.
   *
   * `kind`: Of this kind.
   *
   * `min_score`: With this score or a higher one.
   *
   * `origin`: That came about in this way.
   *
   * `page_size`: So many rows at most.
   *
   * `pinned`: Choosing again leaves it as it is.
   *
   * `q`: In title or hook or reason, in any case.
   *
   * `rating`: up or down.
   *
   * `start_after`: Seconds into the source, or later.
   *
   * `start_before`: Seconds into the source.
   */
  listMoments(
    projectId: string,
    query: { kind?: "action" | "music" | "talk"; min_score?: number; origin?: "chosen" | "made"; page_size?: number; pinned?: boolean; q?: string; rating?: "down" | "up"; start_after?: number; start_before?: number } = {},
    options: CallOptions = {},
  ): Pages<models.Moment> {
    return new Pages((cursor) => this.json<Page<models.Moment>>({ method: "GET", address: "/api/v1/projects/{project_id}/moments", path: { project_id: projectId }, query: { ...query, cursor }, ...options }));
  }

  /**
   * Make a moment by hand.
   *
   * It is rated as the others are, and choosing again leaves it as it is. Free.
   *
   * Needs the scope `write`.
   */
  createMoment(
    projectId: string,
    body: models.EdgesRequest,
    options: WriteOptions = {},
  ): Promise<models.Moment> {
    return this.json({ method: "POST", address: "/api/v1/projects/{project_id}/moments", path: { project_id: projectId }, body, idempotent: true, ...options });
  }

  /**
   * Choose the moments again, with other wishes.
   *
   * Free, and without analysing again. The new moments replace those that were chosen before. What was made by hand, pinned, rated or exported stays as it is, and the new ones keep clear of it.
   *
   * Needs the scope `write`.
   */
  selectMoments(
    projectId: string,
    body: models.WishesRequest,
    options: WriteOptions = {},
  ): Promise<models.Chosen> {
    return this.json({ method: "POST", address: "/api/v1/projects/{project_id}/moments/select", path: { project_id: projectId }, body, idempotent: true, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of the poster or the strip.
   *
   * Of the whole source, made while it is analysed. The strip is one sprite; its WebVTT says which part of it stands for which time.
   *
   * Needs the scope `read`.
   */
  downloadProjectPicture(
    name: "poster.jpg" | "poster.webp" | "strip.jpg" | "strip.vtt",
    projectId: string,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/projects/{project_id}/pictures/{name}", path: { name: name, project_id: projectId }, isFile: true, ...options });
  }

  /**
   * Analyse again after a failure or a cancel.
   *
   * Under the same id and at today's price, unless a quote is named. Only what failed or was cancelled.
   *
   * Needs the scope `write`.
   */
  retryProject(
    projectId: string,
    body: models.TermsRequest = {},
    options: WriteOptions = {},
  ): Promise<models.Project> {
    return this.json({ method: "POST", address: "/api/v1/projects/{project_id}/retry", path: { project_id: projectId }, body, idempotent: true, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of the source.
   *
   * The file as it was uploaded or fetched, under its name, until it ends. A link of its own, good for some minutes; whoever has it may fetch the file. With `?inline=1` added to it, a browser plays the file instead of saving it.
   *
   * Needs the scope `read`.
   */
  downloadProjectSource(
    projectId: string,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/projects/{project_id}/source", path: { project_id: projectId }, isFile: true, ...options });
  }

  /**
   * The words that are spoken in a project.
   *
   * Times are seconds into the source, also in a range. 404 `no_transcript` where nothing is spoken, or nothing in a language that is understood.
   *
   * Needs the scope `read`.
   *
   * `end`: Only what is spoken before. Seconds.
   *
   * `start`: Only what is spoken from here on. Seconds.
   */
  getTranscript(
    projectId: string,
    query: { end?: number; start?: number } = {},
    options: CallOptions = {},
  ): Promise<models.Transcript> {
    return this.json({ method: "GET", address: "/api/v1/projects/{project_id}/transcript", path: { project_id: projectId }, query, ...options });
  }

  /**
   * The words that are spoken in a project.
   *
   * Times are seconds into the source, also in a range. 404 `no_transcript` where nothing is spoken, or nothing in a language that is understood.
   *
   * Needs the scope `read`.
   *
   * `end`: Only what is spoken before. Seconds.
   *
   * `start`: Only what is spoken from here on. Seconds.
   *
   * `format`: Of the text.
   */
  getTranscriptText(
    projectId: string,
    query: { end?: number; start?: number; format: "srt" | "txt" | "vtt" },
    options: CallOptions = {},
  ): Promise<string> {
    return this.text({ method: "GET", address: "/api/v1/projects/{project_id}/transcript", path: { project_id: projectId }, query, ...options });
  }

  /**
   * Correct words.
   *
   * Captions that are made later use them. Times stay as they are. Answers with the sentences that were corrected.
   *
   * Needs the scope `write`.
   */
  correctTranscript(
    projectId: string,
    body: models.PatchedCorrectionsRequest,
    options: CallOptions = {},
  ): Promise<models.Transcript> {
    return this.json({ method: "PATCH", address: "/api/v1/projects/{project_id}/transcript", path: { project_id: projectId }, body, ...options });
  }

  /**
   * Begin to send a file in parts.
   *
   * Answers how to send them, as `protocol`. `tus`: parts of up to `part_bytes` by PATCH (the tus protocol, 1.0.0), one after the other, from `offset` on, whatever interrupts them. `s3`: parts of `part_bytes`, in any order, by PUT to the addresses that `POST /uploads/{id}/parts` gives. No credits are reserved; the size counts as stored. `POST /projects` with `upload` makes a project of it. Clients of the tus protocol send `Upload-Length` and `Upload-Metadata` (`filename`, `sha256`) instead of a body, and `protocol` is `tus` for them.
   *
   * Needs the scope `write`.
   */
  createUpload(
    body: models.UploadRequestRequest,
    options: WriteOptions = {},
  ): Promise<models.Upload> {
    return this.json({ method: "POST", address: "/api/v1/uploads", body, idempotent: true, ...options });
  }

  /**
   * How much of an upload is here.
   *
   * `offset` is where the next part begins; HEAD says it as `Upload-Offset`.
   *
   * Needs the scope `read`.
   */
  getUpload(
    uploadId: string,
    options: CallOptions = {},
  ): Promise<models.Upload> {
    return this.json({ method: "GET", address: "/api/v1/uploads/{upload_id}", path: { upload_id: uploadId }, ...options });
  }

  /**
   * Give up an upload.
   *
   * Its parts are removed, and count no more. Of one that became a project the project stays.
   *
   * Needs the scope `write`.
   */
  deleteUpload(
    uploadId: string,
    options: CallOptions = {},
  ): Promise<void> {
    return this.json({ method: "DELETE", address: "/api/v1/uploads/{upload_id}", path: { upload_id: uploadId }, ...options });
  }

  /**
   * Make one file of the parts in the bucket.
   *
   * Of an upload whose `protocol` is `s3`, once all parts are there. Repeating it changes nothing.
   *
   * Needs the scope `write`.
   */
  completeUpload(
    uploadId: string,
    options: CallOptions = {},
  ): Promise<models.Upload> {
    return this.json({ method: "POST", address: "/api/v1/uploads/{upload_id}/complete", path: { upload_id: uploadId }, ...options });
  }

  /**
   * Which parts are in the bucket, and where to send the others.
   *
   * Of an upload whose `protocol` is `s3`. Send each part that is `missing` to its address by PUT, in any order and side by side, and ask again, after an interruption too, until none is missing. A part that is sent twice counts once. What has come gives the upload another day.
   *
   * Needs the scope `write`.
   */
  listUploadParts(
    uploadId: string,
    options: CallOptions = {},
  ): Promise<models.UploadParts> {
    return this.json({ method: "POST", address: "/api/v1/uploads/{upload_id}/parts", path: { upload_id: uploadId }, ...options });
  }

  /**
   * One moment.
   *
   * With the reasons of its score, and what people made of it.
   *
   * Needs the scope `read`.
   */
  getMoment(
    momentId: string,
    options: CallOptions = {},
  ): Promise<models.Moment> {
    return this.json({ method: "GET", address: "/api/v1/moments/{moment_id}", path: { moment_id: momentId }, ...options });
  }

  /**
   * Move its edges, title, pin or rate it.
   *
   * A moment that was moved is rated anew and pinned. Exports that were made of it keep the edges that they were made with. A rating is kept beside the scores that it was given for.
   *
   * Needs the scope `write`.
   */
  updateMoment(
    momentId: string,
    body: models.PatchedMomentUpdateRequest,
    options: CallOptions = {},
  ): Promise<models.Moment> {
    return this.json({ method: "PATCH", address: "/api/v1/moments/{moment_id}", path: { moment_id: momentId }, body, ...options });
  }

  /**
   * Delete a moment.
   *
   * Exports that were made of it stay.
   *
   * Needs the scope `write`.
   */
  deleteMoment(
    momentId: string,
    options: CallOptions = {},
  ): Promise<void> {
    return this.json({ method: "DELETE", address: "/api/v1/moments/{moment_id}", path: { moment_id: momentId }, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of the poster of a moment.
   *
   * Made when somebody first asks, which takes half a second, and again when its edges have moved. Where none can be made, it is that of the project.
   *
   * Needs the scope `read`.
   */
  downloadMomentPoster(
    momentId: string,
    name: "poster.jpg" | "poster.webp",
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/moments/{moment_id}/pictures/{name}", path: { moment_id: momentId, name: name }, isFile: true, ...options });
  }

  /**
   * The words that are spoken in a moment.
   *
   * Times are seconds into the moment. 404 `no_transcript` where there are none.
   *
   * Needs the scope `read`.
   */
  getMomentTranscript(
    momentId: string,
    options: CallOptions = {},
  ): Promise<models.Transcript> {
    return this.json({ method: "GET", address: "/api/v1/moments/{moment_id}/transcript", path: { moment_id: momentId }, ...options });
  }

  /**
   * The words that are spoken in a moment.
   *
   * Times are seconds into the moment. 404 `no_transcript` where there are none.
   *
   * Needs the scope `read`.
   *
   * `format`: Of the text.
   */
  getMomentTranscriptText(
    momentId: string,
    query: { format: "srt" | "txt" | "vtt" },
    options: CallOptions = {},
  ): Promise<string> {
    return this.text({ method: "GET", address: "/api/v1/moments/{moment_id}/transcript", path: { moment_id: momentId }, query, ...options });
  }

  /**
   * Exports, newest first.
   *
   * Filters combine. A filter by a project that is not yours is 404.
   *
   * Needs the scope `read`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `ids`: Multiple values may be separated by commas.
   *
   * `page_size`: So many rows at most.
   *
   * `project`: Of this project.
   *
   * `q`: In the title or the external id of its project, in any case.
   *
   * `sort`: Newest first, by this time.
   *
   * `status`: In this status; of several, in any of them.
   *
   * `updated_after`: Changed at this time or later; ordered by the time of the change, unless `sort` says else.
   *
   * `updated_before`: Changed before this time; ordered by the time of the change, unless `sort` says else.
   */
  listExports(
    query: { created_after?: string; created_before?: string; ids?: readonly (string)[]; page_size?: number; project?: string; q?: string; sort?: "created_at" | "updated_at"; status?: readonly ("CANCELLED" | "EXPIRED" | "FAILED" | "QUEUED" | "READY" | "RENDERING")[]; updated_after?: string; updated_before?: string } = {},
    options: CallOptions = {},
  ): Pages<models.Export> {
    return new Pages((cursor) => this.json<Page<models.Export>>({ method: "GET", address: "/api/v1/exports", query: { ...query, ids: this.joined(query.ids), cursor }, ...options }));
  }

  /**
   * Render a moment, or start to end of a project.
   *
   * Reserves 1 credit for each started minute of the clip, 2 above 1080 and 4 in 2160; they are charged when the file is ready, and given back otherwise. Captions cost nothing.
   *
   * Needs the scope `write`.
   */
  createExport(
    body: models.ExportCreateRequest,
    options: WriteOptions = {},
  ): Promise<models.Export> {
    return this.json({ method: "POST", address: "/api/v1/exports", body, idempotent: true, ...options });
  }

  /**
   * One export, with its progress.
   *
   * Poll it with `If-None-Match`: what has not changed is 304. `Retry-After` says when there may be news; `wait` lets the request wait for it.
   *
   * Needs the scope `read`.
   *
   * `wait`: With `If-None-Match`: answer once there is news, after so many seconds at the latest.
   */
  getExport(
    exportId: string,
    query: { wait?: number } = {},
    options: CallOptions = {},
  ): Promise<models.Export> {
    return this.json({ method: "GET", address: "/api/v1/exports/{export_id}", path: { export_id: exportId }, query, ...options });
  }

  /**
   * Pin the export, or let it go.
   *
   * A pinned file is not deleted after its retention while the organization pays for its tier. Without that, and when it is no longer pinned, it is kept for nine days at least, and its end is told a week and a day before.
   *
   * Needs the scope `write`.
   */
  updateExport(
    exportId: string,
    body: models.PatchedExportUpdateRequest,
    options: CallOptions = {},
  ): Promise<models.Export> {
    return this.json({ method: "PATCH", address: "/api/v1/exports/{export_id}", path: { export_id: exportId }, body, ...options });
  }

  /**
   * Delete the export and its file.
   *
   * One that waits or runs is cancelled first, and its credits come back. What a finished one cost stays charged.
   *
   * Needs the scope `write`.
   */
  deleteExport(
    exportId: string,
    options: CallOptions = {},
  ): Promise<void> {
    return this.json({ method: "DELETE", address: "/api/v1/exports/{export_id}", path: { export_id: exportId }, ...options });
  }

  /**
   * Stop the render and give the credits back.
   *
   * Repeating it changes nothing.
   *
   * Needs the scope `write`.
   */
  cancelExport(
    exportId: string,
    options: CallOptions = {},
  ): Promise<models.Export> {
    return this.json({ method: "POST", address: "/api/v1/exports/{export_id}/cancel", path: { export_id: exportId }, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of the subtitles.
   *
   * For a `track` of a player, beside the clip; times are seconds into it. 404 `no_transcript` where nothing is spoken.
   *
   * Needs the scope `read`.
   */
  downloadExportCaptions(
    exportId: string,
    name: "captions.srt" | "captions.vtt",
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/exports/{export_id}/captions/{name}", path: { export_id: exportId, name: name }, isFile: true, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of the file.
   *
   * A link of its own, good for some minutes; whoever has it may fetch the file. With `?inline=1` added to it, a browser plays the file instead of saving it.
   *
   * Needs the scope `read`.
   */
  downloadExport(
    exportId: string,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/exports/{export_id}/download", path: { export_id: exportId }, isFile: true, ...options });
  }

  /**
   * Redirect to a signed, expiring URL of the poster or the strip.
   *
   * The strip is one sprite; its WebVTT says which part of it stands for which time.
   *
   * Needs the scope `read`.
   */
  downloadExportPicture(
    exportId: string,
    name: "poster.jpg" | "poster.webp" | "strip.jpg" | "strip.vtt",
    options: CallOptions = {},
  ): Promise<Response> {
    return this.call({ method: "GET", address: "/api/v1/exports/{export_id}/pictures/{name}", path: { export_id: exportId, name: name }, isFile: true, ...options });
  }

  /**
   * Render again after a failure or a cancel.
   *
   * Under the same id and at today's price, unless a quote is named. Only what failed or was cancelled.
   *
   * Needs the scope `write`.
   */
  retryExport(
    exportId: string,
    body: models.TermsRequest = {},
    options: WriteOptions = {},
  ): Promise<models.Export> {
    return this.json({ method: "POST", address: "/api/v1/exports/{export_id}/retry", path: { export_id: exportId }, body, idempotent: true, ...options });
  }

  /**
   * The words that are spoken in a clip.
   *
   * Times are seconds into the clip. 404 `no_transcript` where there are none.
   *
   * Needs the scope `read`.
   */
  getExportTranscript(
    exportId: string,
    options: CallOptions = {},
  ): Promise<models.Transcript> {
    return this.json({ method: "GET", address: "/api/v1/exports/{export_id}/transcript", path: { export_id: exportId }, ...options });
  }

  /**
   * The words that are spoken in a clip.
   *
   * Times are seconds into the clip. 404 `no_transcript` where there are none.
   *
   * Needs the scope `read`.
   *
   * `format`: Of the text.
   */
  getExportTranscriptText(
    exportId: string,
    query: { format: "srt" | "txt" | "vtt" },
    options: CallOptions = {},
  ): Promise<string> {
    return this.text({ method: "GET", address: "/api/v1/exports/{export_id}/transcript", path: { export_id: exportId }, query, ...options });
  }

  /**
   * Order up to 100 exports at once.
   *
   * With `all_or_nothing` all are ordered, or none: a refusal points at each that cannot be. With `per_item` the answer says what became of each. Both are one transaction, and one `Idempotency-Key` covers it. `max_credits` and `quote_id` are for all together. Each export counts in the limit `exports`.
   *
   * Needs the scope `write`.
   */
  createExportBatch(
    body: models.ExportBatchRequest,
    options: WriteOptions = {},
  ): Promise<models.ExportBatchResult> {
    return this.json({ method: "POST", address: "/api/v1/exports/batch", body, idempotent: true, ...options });
  }

  /**
   * The image that clips may carry.
   *
   * 404 where there is none.
   *
   * Needs the scope `read`.
   */
  getWatermark(
    options: CallOptions = {},
  ): Promise<models.Watermark> {
    return this.json({ method: "GET", address: "/api/v1/watermark", ...options });
  }

  /**
   * Set the image that clips may carry.
   *
   * The body is a PNG or WebP of up to 512 KiB and 8 to 2048 pixels a side. It is written anew, without anything but its picture, and at most 1024 pixels wide and high. Clips that ask for a `watermark` have it from now on. Free; tiers without watermarks are refused with 403 `watermark_not_in_tier`.
   *
   * Needs the scope `write`.
   */
  replaceWatermark(
    content: Blob,
    contentType: "image/png" | "image/webp",
    options: CallOptions = {},
  ): Promise<models.Watermark> {
    return this.json({ method: "PUT", address: "/api/v1/watermark", content, contentType, ...options });
  }

  /**
   * Remove the image.
   *
   * Finished clips keep it. Those that wait for it fail, and cost nothing.
   *
   * Needs the scope `write`.
   */
  deleteWatermark(
    options: CallOptions = {},
  ): Promise<void> {
    return this.json({ method: "DELETE", address: "/api/v1/watermark", ...options });
  }

  /**
   * Projects in which some words are spoken.
   *
   * The newest twenty, with the sentences that have most of the words. Words are found in all their forms, and all of them must be spoken; "a phrase" in quotes, `or` between two and `-` before a word work too.
   *
   * Needs the scope `read`.
   *
   * `q`: Up to 200 characters.
   */
  searchTranscripts(
    query: { q: string },
    options: CallOptions = {},
  ): Promise<models.FoundTranscripts> {
    return this.json({ method: "GET", address: "/api/v1/transcripts", query, ...options });
  }

  /**
   * Credits available, held and posted.
   *
   * Never older than the last change. What is available can be spent now.
   *
   * Needs the scope `read`.
   */
  getBalance(
    options: CallOptions = {},
  ): Promise<models.Balance> {
    return this.json({ method: "GET", address: "/api/v1/credits/balance", ...options });
  }

  /**
   * Reservations, newest first.
   *
   * What work that waits or runs has reserved, and how it ended.
   *
   * Needs the scope `read`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `page_size`: So many rows at most.
   *
   * `reference_id`: Of a project or an export.
   *
   * `status`: In this status; of several, in any of them.
   */
  listHolds(
    query: { created_after?: string; created_before?: string; page_size?: number; reference_id?: string; status?: "CAPTURED" | "EXPIRED" | "HELD" | "RELEASED" } = {},
    options: CallOptions = {},
  ): Pages<models.Hold> {
    return new Pages((cursor) => this.json<Page<models.Hold>>({ method: "GET", address: "/api/v1/credits/holds", query: { ...query, cursor }, ...options }));
  }

  /**
   * A month of the ledger: opening, movements, closing.
   *
   * The oldest first. Months are of UTC. As JSON up to 10,000 movements.
   *
   * Needs the scope `read`.
   *
   * `month`: Of a year.
   */
  getStatement(
    query: { month: string },
    options: CallOptions = {},
  ): Promise<models.Statement> {
    return this.json({ method: "GET", address: "/api/v1/credits/statement", query, ...options });
  }

  /**
   * A month of the ledger: opening, movements, closing.
   *
   * The oldest first. Months are of UTC. As JSON up to 10,000 movements.
   *
   * Needs the scope `read`.
   *
   * `month`: Of a year.
   *
   * `format`: Of the text.
   */
  getStatementText(
    query: { month: string; format: "csv" },
    options: CallOptions = {},
  ): Promise<string> {
    return this.text({ method: "GET", address: "/api/v1/credits/statement", query, ...options });
  }

  /**
   * The ledger, newest first.
   *
   * Every movement of credits, with all that its amount was computed from. Rows never change.
   *
   * Needs the scope `read`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `page_size`: So many rows at most.
   *
   * `reference_id`: Of a project or an export.
   *
   * `type`: Of this type.
   */
  listTransactions(
    query: { created_after?: string; created_before?: string; page_size?: number; reference_id?: string; type?: "ADJUST" | "EXPIRE" | "GRANT" | "PURCHASE" | "REFUND" | "SPEND" } = {},
    options: CallOptions = {},
  ): Pages<models.Transaction> {
    return new Pages((cursor) => this.json<Page<models.Transaction>>({ method: "GET", address: "/api/v1/credits/transactions", query: { ...query, cursor }, ...options }));
  }

  /**
   * Open a page where a plan or a credit pack is paid.
   *
   * Nothing is charged and no credits come until the customer has paid there.
   *
   * Needs the scope `billing`.
   */
  createCheckout(
    body: models.CheckoutRequestRequest,
    options: WriteOptions = {},
  ): Promise<models.Checkout> {
    return this.json({ method: "POST", address: "/api/v1/billing/checkout", body, idempotent: true, ...options });
  }

  /**
   * Payments, newest first.
   *
   * What was asked for and what was paid, by card or by transfer, with what it bought.
   *
   * Needs the scope `billing`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `page_size`: So many rows at most.
   *
   * `q`: In reference, in any case.
   *
   * `status`: In this status; of several, in any of them.
   */
  listPayments(
    query: { created_after?: string; created_before?: string; page_size?: number; q?: string; status?: readonly ("EXPIRED" | "PAID" | "PENDING")[] } = {},
    options: CallOptions = {},
  ): Pages<models.Payment> {
    return new Pages((cursor) => this.json<Page<models.Payment>>({ method: "GET", address: "/api/v1/billing/payments", query: { ...query, cursor }, ...options }));
  }

  /**
   * One payment.
   *
   * It is pending until Stripe says that it was paid, which may be minutes after the customer did.
   *
   * Needs the scope `billing`.
   */
  getPayment(
    paymentId: string,
    options: CallOptions = {},
  ): Promise<models.Payment> {
    return this.json({ method: "GET", address: "/api/v1/billing/payments/{payment_id}", path: { payment_id: paymentId }, ...options });
  }

  /**
   * Open a page where the plan is changed or cancelled.
   *
   * Stripe's own page. The address is good for a short time and for this customer.
   *
   * Needs the scope `billing`.
   */
  createPortalSession(
    options: CallOptions = {},
  ): Promise<models.Portal> {
    return this.json({ method: "POST", address: "/api/v1/billing/portal", ...options });
  }

  /**
   * The paid plan that goes on, if any.
   *
   * Null where no plan is paid for. A plan that ends is shown until its end.
   *
   * Needs the scope `billing`.
   */
  getSubscription(
    options: CallOptions = {},
  ): Promise<models.CurrentSubscription> {
    return this.json({ method: "GET", address: "/api/v1/billing/subscription", ...options });
  }

  /**
   * Plans and credit packs, cheapest first.
   *
   * Public: whoever wants to know what it costs has no key yet. With one its organization counts.
   *
   * Needs the scope `read`.
   */
  getPricing(
    options: CallOptions = {},
  ): Promise<models.Pricing> {
    return this.json({ method: "GET", address: "/api/v1/pricing", ...options });
  }

  /**
   * What work costs, for an hour.
   *
   * Nothing is reserved. What is ordered with the `quote_id` costs what its line says, whatever prices are then, or is refused. A line is for one piece of work of the same kind, started minutes and resolution.
   *
   * Needs the scope `read`.
   */
  createQuote(
    body: models.QuoteRequestRequest,
    options: CallOptions = {},
  ): Promise<models.Quote> {
    return this.json({ method: "POST", address: "/api/v1/quotes", body, ...options });
  }

  /**
   * Credits that work used, by day, by key or by kind.
   *
   * Summed up from the ledger, and exact: a charge counts on the day on which its work was finished, a refund on the day on which it was made. Days are of UTC, and both are included; at most 366 of them. What was reserved and given back is not in it.
   *
   * Needs the scope `read`.
   *
   * `from`: The first day.
   *
   * `group_by`: Sums.
   *
   * `to`: The last day.
   */
  getUsage(
    query: { from: string; group_by?: "day" | "key" | "kind"; to: string },
    options: CallOptions = {},
  ): Promise<models.Usage> {
    return this.json({ method: "GET", address: "/api/v1/usage", query, ...options });
  }

  /**
   * Credits that work used, by day, by key or by kind.
   *
   * Summed up from the ledger, and exact: a charge counts on the day on which its work was finished, a refund on the day on which it was made. Days are of UTC, and both are included; at most 366 of them. What was reserved and given back is not in it.
   *
   * Needs the scope `read`.
   *
   * `from`: The first day.
   *
   * `group_by`: Sums.
   *
   * `to`: The last day.
   *
   * `format`: Of the text.
   */
  getUsageText(
    query: { from: string; group_by?: "day" | "key" | "kind"; to: string; format: "csv" },
    options: CallOptions = {},
  ): Promise<string> {
    return this.text({ method: "GET", address: "/api/v1/usage", query, ...options });
  }

  /**
   * The organization, tier, limits and key in use.
   *
   * Whose key this is, and the limits that it is under.
   *
   * Needs the scope `read`.
   */
  getMe(
    options: CallOptions = {},
  ): Promise<models.Me> {
    return this.json({ method: "GET", address: "/api/v1/me", ...options });
  }

  /**
   * The origins whose pages may read answers.
   *
   * A browser shows an answer to a page only if its origin is in this list.
   *
   * Needs the scope `read`.
   */
  getOrigins(
    options: CallOptions = {},
  ): Promise<models.Origins> {
    return this.json({ method: "GET", address: "/api/v1/origins", ...options });
  }

  /**
   * Allow pages of these origins, and of no others.
   *
   * At once, for requests with any key or token of the organization.
   *
   * Needs the scope `keys`.
   */
  replaceOrigins(
    body: models.OriginsRequest,
    options: CallOptions = {},
  ): Promise<models.Origins> {
    return this.json({ method: "PUT", address: "/api/v1/origins", body, ...options });
  }

  /**
   * Keys, newest first.
   *
   * Those that ended and were revoked too. Tokens of pages are not listed.
   *
   * Needs the scope `keys`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `is_revoked`: Those that were revoked, or those that were not.
   *
   * `mode`: `test`: the keys of the sandbox. Else those of the organization of the key.
   *
   * `page_size`: So many rows at most.
   *
   * `q`: In name or prefix, in any case.
   */
  listKeys(
    query: { created_after?: string; created_before?: string; is_revoked?: "false" | "true"; mode?: "live" | "test"; page_size?: number; q?: string } = {},
    options: CallOptions = {},
  ): Pages<models.Key> {
    return new Pages((cursor) => this.json<Page<models.Key>>({ method: "GET", address: "/api/v1/keys", query: { ...query, cursor }, ...options }));
  }

  /**
   * Make a key.
   *
   * It can do no more than the key that asks for it. The answer has its text, and is the only one that has: whoever loses it revokes the key and makes another.
   *
   * Needs the scope `keys`.
   */
  createKey(
    body: models.KeyRequestRequest,
    options: CallOptions = {},
  ): Promise<models.NewKey> {
    return this.json({ method: "POST", address: "/api/v1/keys", body, ...options });
  }

  /**
   * One key.
   *
   * What it may do, until when, what it spent in this month and when it was last used.
   *
   * Needs the scope `keys`.
   */
  getKey(
    keyId: string,
    options: CallOptions = {},
  ): Promise<models.Key> {
    return this.json({ method: "GET", address: "/api/v1/keys/{key_id}", path: { key_id: keyId }, ...options });
  }

  /**
   * Change what a key may do, from where, and how much.
   *
   * From the next request on; what is left out stays. Any key may be narrowed, also the one that asks. One that is given more can then do no more than the key that asks. The cap is that of all keys that share it.
   *
   * Needs the scope `keys`.
   */
  updateKey(
    keyId: string,
    body: models.PatchedKeyLimitsRequest,
    options: CallOptions = {},
  ): Promise<models.Key> {
    return this.json({ method: "PATCH", address: "/api/v1/keys/{key_id}", path: { key_id: keyId }, body, ...options });
  }

  /**
   * Revoke a key, and no other.
   *
   * It is refused from the next request on, and so are its tokens. Also the key that asks may be revoked; the others of the organization stay as they are, also those that it made: see `POST /keys/{id}/revoke`.
   *
   * Needs the scope `keys`.
   */
  revokeKey(
    keyId: string,
    options: CallOptions = {},
  ): Promise<void> {
    return this.json({ method: "DELETE", address: "/api/v1/keys/{key_id}", path: { key_id: keyId }, ...options });
  }

  /**
   * The working keys that come from a key.
   *
   * Those that were made with it, or in its place by rotation, and with those in turn, oldest first, also in the sandbox. `POST /keys/{id}/revoke` revokes them with it.
   *
   * Needs the scope `keys`.
   */
  listKeyDescendants(
    keyId: string,
    options: CallOptions = {},
  ): Promise<models.Keys> {
    return this.json({ method: "GET", address: "/api/v1/keys/{key_id}/descendants", path: { key_id: keyId }, ...options });
  }

  /**
   * Revoke a key in wrong hands, with all that come from it.
   *
   * Whoever had it may have made others. The answer has the keys that worked until now. Repeating it finds what is left: none.
   *
   * Needs the scope `keys`.
   */
  revokeKeyFamily(
    keyId: string,
    body: models.KeyRevocationRequest,
    options: CallOptions = {},
  ): Promise<models.Keys> {
    return this.json({ method: "POST", address: "/api/v1/keys/{key_id}/revoke", path: { key_id: keyId }, body, ...options });
  }

  /**
   * Give a key a successor.
   *
   * The successor may do the same, under the same cap. The key that it replaces works for `overlap_hours` more, and its tokens no longer than it. Both are listed; the owners get mail. A key has one successor: rotated again it is 409 `key_rotated`.
   *
   * Needs the scope `keys`.
   */
  rotateKey(
    keyId: string,
    body: models.KeyRotationRequest,
    options: CallOptions = {},
  ): Promise<models.NewKey> {
    return this.json({ method: "POST", address: "/api/v1/keys/{key_id}/rotate", path: { key_id: keyId }, body, ...options });
  }

  /**
   * A short-lived token for a page.
   *
   * For a page in a browser, where a key would be read by everybody. It may do what its scope says, which the key that asks for it must have too, from origins that are allowed, until it ends. It ends with that key at the latest, also where it is revoked or rotated, and shares its monthly cap.
   *
   * Needs the scope `keys`.
   */
  createToken(
    body: models.TokenRequestRequest,
    options: CallOptions = {},
  ): Promise<models.Token> {
    return this.json({ method: "POST", address: "/api/v1/tokens", body, ...options });
  }

  /**
   * One delivery: its body and its attempts.
   *
   * With what the endpoint answered to each attempt, so far as it was kept.
   *
   * Needs the scope `webhooks`.
   */
  getWebhookDelivery(
    deliveryId: string,
    options: CallOptions = {},
  ): Promise<models.DeliveryDetail> {
    return this.json({ method: "GET", address: "/api/v1/webhooks/deliveries/{delivery_id}", path: { delivery_id: deliveryId }, ...options });
  }

  /**
   * Send it again, under the same id.
   *
   * Whoever got it before knows it by its id, which stays.
   *
   * Needs the scope `webhooks`.
   */
  replayWebhookDelivery(
    deliveryId: string,
    options: CallOptions = {},
  ): Promise<models.Delivery> {
    return this.json({ method: "POST", address: "/api/v1/webhooks/deliveries/{delivery_id}/replay", path: { delivery_id: deliveryId }, ...options });
  }

  /**
   * Webhook endpoints, newest first.
   *
   * The addresses that are told of events.
   *
   * Needs the scope `webhooks`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `is_enabled`: That are told of events, or those that are not.
   *
   * `page_size`: So many rows at most.
   *
   * `q`: In url or description, in any case.
   */
  listWebhookEndpoints(
    query: { created_after?: string; created_before?: string; is_enabled?: boolean; page_size?: number; q?: string } = {},
    options: CallOptions = {},
  ): Pages<models.Endpoint> {
    return new Pages((cursor) => this.json<Page<models.Endpoint>>({ method: "GET", address: "/api/v1/webhooks/endpoints", query: { ...query, cursor }, ...options }));
  }

  /**
   * Have an address told of events.
   *
   * The answer has the secret that requests are signed with. It is shown this once; if it is lost, rotate it.
   *
   * Needs the scope `webhooks`.
   */
  createWebhookEndpoint(
    body: models.EndpointCreateRequest,
    options: CallOptions = {},
  ): Promise<models.EndpointWithSecret> {
    return this.json({ method: "POST", address: "/api/v1/webhooks/endpoints", body, ...options });
  }

  /**
   * One webhook endpoint.
   *
   * Whether it is enabled, and since when it fails.
   *
   * Needs the scope `webhooks`.
   */
  getWebhookEndpoint(
    endpointId: string,
    options: CallOptions = {},
  ): Promise<models.Endpoint> {
    return this.json({ method: "GET", address: "/api/v1/webhooks/endpoints/{endpoint_id}", path: { endpoint_id: endpointId }, ...options });
  }

  /**
   * Change an endpoint, or enable it again.
   *
   * Only what is given is changed. One that was disabled for its failures begins anew.
   *
   * Needs the scope `webhooks`.
   */
  updateWebhookEndpoint(
    endpointId: string,
    body: models.PatchedEndpointUpdateRequest,
    options: CallOptions = {},
  ): Promise<models.Endpoint> {
    return this.json({ method: "PATCH", address: "/api/v1/webhooks/endpoints/{endpoint_id}", path: { endpoint_id: endpointId }, body, ...options });
  }

  /**
   * Delete an endpoint; what waits for it is never sent.
   *
   * At once. Its deliveries go with it.
   *
   * Needs the scope `webhooks`.
   */
  deleteWebhookEndpoint(
    endpointId: string,
    options: CallOptions = {},
  ): Promise<void> {
    return this.json({ method: "DELETE", address: "/api/v1/webhooks/endpoints/{endpoint_id}", path: { endpoint_id: endpointId }, ...options });
  }

  /**
   * What an endpoint is told, newest first.
   *
   * Each event that was sent or will be, with what the endpoint answered.
   *
   * Needs the scope `webhooks`.
   *
   * `created_after`: Made at this time or later.
   *
   * `created_before`: Made before this time, which is not included.
   *
   * `object_id`: Of the project, the export or what else it is about.
   *
   * `page_size`: So many rows at most.
   *
   * `status`: In this status; of several, in any of them.
   */
  listWebhookDeliveries(
    endpointId: string,
    query: { created_after?: string; created_before?: string; object_id?: string; page_size?: number; status?: readonly ("DELIVERED" | "FAILED" | "PENDING")[] } = {},
    options: CallOptions = {},
  ): Pages<models.Delivery> {
    return new Pages((cursor) => this.json<Page<models.Delivery>>({ method: "GET", address: "/api/v1/webhooks/endpoints/{endpoint_id}/deliveries", path: { endpoint_id: endpointId }, query: { ...query, cursor }, ...options }));
  }

  /**
   * Send an endpoint again all that happened in a time.
   *
   * Also what happened before the endpoint was made, or while it was disabled, up to 30 days ago; at most 10000 events. Each has the id that it had before.
   *
   * Needs the scope `webhooks`.
   */
  replayWebhookEvents(
    endpointId: string,
    body: models.ReplayRequest,
    options: CallOptions = {},
  ): Promise<models.Replayed> {
    return this.json({ method: "POST", address: "/api/v1/webhooks/endpoints/{endpoint_id}/replay", path: { endpoint_id: endpointId }, body, ...options });
  }

  /**
   * Give an endpoint a new secret.
   *
   * For 24 hours, the ones before sign beside it: every request has a signature of each. The answer has the new secret, and is the only one that has.
   *
   * Needs the scope `webhooks`.
   */
  rotateWebhookSecret(
    endpointId: string,
    options: CallOptions = {},
  ): Promise<models.EndpointWithSecret> {
    return this.json({ method: "POST", address: "/api/v1/webhooks/endpoints/{endpoint_id}/rotate-secret", path: { endpoint_id: endpointId }, ...options });
  }

  /**
   * Send an endpoint the event `endpoint.test`.
   *
   * To see that it is reached and that its signature is checked.
   *
   * Needs the scope `webhooks`.
   */
  testWebhookEndpoint(
    endpointId: string,
    options: WriteOptions = {},
  ): Promise<models.Delivery> {
    return this.json({ method: "POST", address: "/api/v1/webhooks/endpoints/{endpoint_id}/test", path: { endpoint_id: endpointId }, idempotent: true, ...options });
  }
}
