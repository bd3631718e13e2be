"""Made by `manage.py generate_sdk` from the schema of the API: not to be edited."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal

from clipforge_sdk.calls import Calls, Download, Source
from clipforge_sdk.generated import models
from clipforge_sdk.pages import Pages


class Operations(Calls):
    def list_projects(
        self,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        external_id: str | None = None,
        ids: Sequence[str] | None = None,
        page_size: int | None = None,
        q: str | None = None,
        sort: Literal["created_at", "updated_at"] | None = None,
        status: Sequence[
            Literal[
                "ANALYZING",
                "CANCELLED",
                "EMPTY",
                "EXPIRED",
                "FAILED",
                "QUEUED",
                "READY",
                "UPLOADED",
            ]
        ]
        | None = None,
        updated_after: str | datetime.datetime | None = None,
        updated_before: str | datetime.datetime | None = None,
    ) -> Pages[models.Project]:
        """Projects, newest first.

        Filters combine. `ids` and `external_id` find what you know, `q` what you look for, `updated_after` what has changed.

        Needs the scope `read`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        external_id: With this id of your own.
        ids: Multiple values may be separated by commas.
        page_size: So many rows at most.
        q: In the title or the external id, in any case.
        sort: Newest first, by this time.
        status: In this status; of several, in any of them.
        updated_after: Changed at this time or later; ordered by the time of the change, unless `sort` says else.
        updated_before: Changed before this time; ordered by the time of the change, unless `sort` says else.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/projects",
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "external_id": external_id,
                    "ids": self._joined(ids),
                    "page_size": page_size,
                    "q": q,
                    "sort": sort,
                    "status": status,
                    "updated_after": updated_after,
                    "updated_before": updated_before,
                    **query,
                },
            )
        )

    def create_project(
        self, file: Source, body: models.ProjectUploadRequest, *, idempotency_key: str | None = None
    ) -> models.Project:
        """Upload a video, or name its address, and start its analysis.

        Reserves 1 credit for each started minute of the source; they are charged when something is worth clipping, and given back otherwise. What the moments should be like may be said here; it can be said again for nothing, see `POST /projects/{id}/moments/select`. A source with a `source_url` is fetched first (stage `importing`): until its length is known, 1 credit is reserved.

        Needs the scope `write`.
        """
        answer: models.Project = self._json(
            "POST",
            "/api/v1/projects",
            file=file,
            body=body,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer

    def get_project(
        self,
        project_id: str,
        *,
        expand: Sequence[Literal["exports", "moments"]] | None = None,
        wait: int | None = None,
    ) -> models.ProjectDetail:
        """One project, with its progress.

        Poll it with `If-None-Match`: what has not changed is 304. `Retry-After` says when there may be news; `wait` lets the request wait for it.

        Needs the scope `read`.

        expand: Also show the first 50 of these, by commas.
        wait: With `If-None-Match`: answer once there is news, after so many seconds at the latest.
        """
        answer: models.ProjectDetail = self._json(
            "GET",
            "/api/v1/projects/{project_id}",
            path={"project_id": project_id},
            query={"expand": self._joined(expand), "wait": wait},
        )
        return answer

    def update_project(
        self, project_id: str, body: models.PatchedProjectUpdateRequest
    ) -> models.Project:
        """Change the title, the external id or the metadata.

        Only what is given is changed. An external id is taken away with null.

        Needs the scope `write`.
        """
        answer: models.Project = self._json(
            "PATCH", "/api/v1/projects/{project_id}", path={"project_id": project_id}, body=body
        )
        return answer

    def delete_project(self, project_id: str) -> None:
        """Delete the project with its moments, exports and files.

        A running analysis is cancelled first, and its credits come back.

        Needs the scope `write`.
        """
        self._json("DELETE", "/api/v1/projects/{project_id}", path={"project_id": project_id})

    def cancel_project(self, project_id: str) -> models.Project:
        """Stop the analysis and give the credits back.

        Repeating it changes nothing.

        Needs the scope `write`.
        """
        answer: models.Project = self._json(
            "POST", "/api/v1/projects/{project_id}/cancel", path={"project_id": project_id}
        )
        return answer

    def download_project_captions(
        self, name: Literal["captions.srt", "captions.vtt"], project_id: str
    ) -> Download:
        """Redirect to a signed, expiring URL of the subtitles.

        For a `track` of a player, beside the source. 404 `no_transcript` where nothing is spoken.

        Needs the scope `read`.
        """
        return self._file(
            "GET",
            "/api/v1/projects/{project_id}/captions/{name}",
            path={"name": name, "project_id": project_id},
        )

    def get_curves(self, project_id: str) -> models.Curves:
        """Score and sub-scores over the length of the source.

        300 values each at most, a second apart at least. As SVG they are drawn one under the other, with the moments shaded. Free; nothing is decoded. 409 `features_missing` for a project that was analysed before features were kept.

        Needs the scope `read`.
        """
        answer: models.Curves = self._json(
            "GET", "/api/v1/projects/{project_id}/curves", path={"project_id": project_id}
        )
        return answer

    def get_curves_text(self, project_id: str, *, format: Literal["svg"]) -> str:
        """Score and sub-scores over the length of the source As text, in this format.

        300 values each at most, a second apart at least. As SVG they are drawn one under the other, with the moments shaded. Free; nothing is decoded. 409 `features_missing` for a project that was analysed before features were kept.

        Needs the scope `read`.
        """
        return self._text(
            "GET",
            "/api/v1/projects/{project_id}/curves",
            path={"project_id": project_id},
            query={"format": format},
        )

    def download_project_exports(self, project_id: str) -> Download:
        """Redirect to a signed, expiring URL of all finished files as one ZIP.

        A link of its own, good for some minutes, that a browser can follow: whoever has it may fetch the files. The archive is made while it is sent, without compression; it has no ranges and no length. What is deleted meanwhile is left out, and named in its `missing.txt`. Where a server sends as many as it can already, it is 503 `archives_busy`.

        Needs the scope `read`.
        """
        return self._file(
            "GET", "/api/v1/projects/{project_id}/exports.zip", path={"project_id": project_id}
        )

    def list_moments(
        self,
        project_id: str,
        *,
        kind: Literal["action", "music", "talk"] | None = None,
        min_score: float | None = None,
        origin: Literal["chosen", "made"] | None = None,
        page_size: int | None = None,
        pinned: bool | None = None,
        q: str | None = None,
        rating: Literal["down", "up"] | None = None,
        start_after: float | None = None,
        start_before: float | None = None,
    ) -> Pages[models.Moment]:
        """Moments of a project, best first.

        With the reasons of each score. `min_score` leaves out what is weaker.

        Needs the scope `read`.

        kind: Of this kind.
        min_score: With this score or a higher one.
        origin: That came about in this way.
        page_size: So many rows at most.
        pinned: Choosing again leaves it as it is.
        q: In title or hook or reason, in any case.
        rating: up or down.
        start_after: Seconds into the source, or later.
        start_before: Seconds into the source.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/projects/{project_id}/moments",
                path={"project_id": project_id},
                query={
                    "kind": kind,
                    "min_score": min_score,
                    "origin": origin,
                    "page_size": page_size,
                    "pinned": pinned,
                    "q": q,
                    "rating": rating,
                    "start_after": start_after,
                    "start_before": start_before,
                    **query,
                },
            )
        )

    def create_moment(
        self, project_id: str, body: models.EdgesRequest, *, idempotency_key: str | None = None
    ) -> models.Moment:
        """Make a moment by hand.

        It is rated as the others are, and choosing again leaves it as it is. Free.

        Needs the scope `write`.
        """
        answer: models.Moment = self._json(
            "POST",
            "/api/v1/projects/{project_id}/moments",
            path={"project_id": project_id},
            body=body,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer

    def select_moments(
        self, project_id: str, body: models.WishesRequest, *, idempotency_key: str | None = None
    ) -> models.Chosen:
        """Choose the moments again, with other wishes.

        Free, and without analysing again. The new moments replace those that were chosen before. What was made by hand, pinned, rated or exported stays as it is, and the new ones keep clear of it.

        Needs the scope `write`.
        """
        answer: models.Chosen = self._json(
            "POST",
            "/api/v1/projects/{project_id}/moments/select",
            path={"project_id": project_id},
            body=body,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer

    def download_project_picture(
        self, name: Literal["poster.jpg", "poster.webp", "strip.jpg", "strip.vtt"], project_id: str
    ) -> Download:
        """Redirect to a signed, expiring URL of the poster or the strip.

        Of the whole source, made while it is analysed. The strip is one sprite; its WebVTT says which part of it stands for which time.

        Needs the scope `read`.
        """
        return self._file(
            "GET",
            "/api/v1/projects/{project_id}/pictures/{name}",
            path={"name": name, "project_id": project_id},
        )

    def retry_project(
        self,
        project_id: str,
        body: models.TermsRequest | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> models.Project:
        """Analyse again after a failure or a cancel.

        Under the same id and at today's price, unless a quote is named. Only what failed or was cancelled.

        Needs the scope `write`.
        """
        answer: models.Project = self._json(
            "POST",
            "/api/v1/projects/{project_id}/retry",
            path={"project_id": project_id},
            body=body,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer

    def download_project_source(self, project_id: str) -> Download:
        """Redirect to a signed, expiring URL of the source.

        The file as it was uploaded or fetched, under its name, until it ends. A link of its own, good for some minutes; whoever has it may fetch the file. With `?inline=1` added to it, a browser plays the file instead of saving it.

        Needs the scope `read`.
        """
        return self._file(
            "GET", "/api/v1/projects/{project_id}/source", path={"project_id": project_id}
        )

    def get_transcript(
        self, project_id: str, *, end: float | None = None, start: float | None = None
    ) -> models.Transcript:
        """The words that are spoken in a project.

        Times are seconds into the source, also in a range. 404 `no_transcript` where nothing is spoken, or nothing in a language that is understood.

        Needs the scope `read`.

        end: Only what is spoken before. Seconds.
        start: Only what is spoken from here on. Seconds.
        """
        answer: models.Transcript = self._json(
            "GET",
            "/api/v1/projects/{project_id}/transcript",
            path={"project_id": project_id},
            query={"end": end, "start": start},
        )
        return answer

    def get_transcript_text(
        self,
        project_id: str,
        *,
        end: float | None = None,
        start: float | None = None,
        format: Literal["srt", "txt", "vtt"],
    ) -> str:
        """The words that are spoken in a project As text, in this format.

        Times are seconds into the source, also in a range. 404 `no_transcript` where nothing is spoken, or nothing in a language that is understood.

        Needs the scope `read`.

        end: Only what is spoken before. Seconds.
        start: Only what is spoken from here on. Seconds.
        """
        return self._text(
            "GET",
            "/api/v1/projects/{project_id}/transcript",
            path={"project_id": project_id},
            query={"end": end, "start": start, "format": format},
        )

    def correct_transcript(
        self, project_id: str, body: models.PatchedCorrectionsRequest
    ) -> models.Transcript:
        """Correct words.

        Captions that are made later use them. Times stay as they are. Answers with the sentences that were corrected.

        Needs the scope `write`.
        """
        answer: models.Transcript = self._json(
            "PATCH",
            "/api/v1/projects/{project_id}/transcript",
            path={"project_id": project_id},
            body=body,
        )
        return answer

    def create_upload(
        self, body: models.UploadRequestRequest, *, idempotency_key: str | None = None
    ) -> models.Upload:
        """Begin to send a file in parts.

        Answers how to send them, as `protocol`. `tus`: parts of up to `part_bytes` by PATCH (the tus protocol, 1.0.0), one after the other, from `offset` on, whatever interrupts them. `s3`: parts of `part_bytes`, in any order, by PUT to the addresses that `POST /uploads/{id}/parts` gives. No credits are reserved; the size counts as stored. `POST /projects` with `upload` makes a project of it. Clients of the tus protocol send `Upload-Length` and `Upload-Metadata` (`filename`, `sha256`) instead of a body, and `protocol` is `tus` for them.

        Needs the scope `write`.
        """
        answer: models.Upload = self._json(
            "POST", "/api/v1/uploads", body=body, idempotent=True, idempotency_key=idempotency_key
        )
        return answer

    def get_upload(self, upload_id: str) -> models.Upload:
        """How much of an upload is here.

        `offset` is where the next part begins; HEAD says it as `Upload-Offset`.

        Needs the scope `read`.
        """
        answer: models.Upload = self._json(
            "GET", "/api/v1/uploads/{upload_id}", path={"upload_id": upload_id}
        )
        return answer

    def delete_upload(self, upload_id: str) -> None:
        """Give up an upload.

        Its parts are removed, and count no more. Of one that became a project the project stays.

        Needs the scope `write`.
        """
        self._json("DELETE", "/api/v1/uploads/{upload_id}", path={"upload_id": upload_id})

    def complete_upload(self, upload_id: str) -> models.Upload:
        """Make one file of the parts in the bucket.

        Of an upload whose `protocol` is `s3`, once all parts are there. Repeating it changes nothing.

        Needs the scope `write`.
        """
        answer: models.Upload = self._json(
            "POST", "/api/v1/uploads/{upload_id}/complete", path={"upload_id": upload_id}
        )
        return answer

    def list_upload_parts(self, upload_id: str) -> models.UploadParts:
        """Which parts are in the bucket, and where to send the others.

        Of an upload whose `protocol` is `s3`. Send each part that is `missing` to its address by PUT, in any order and side by side, and ask again, after an interruption too, until none is missing. A part that is sent twice counts once. What has come gives the upload another day.

        Needs the scope `write`.
        """
        answer: models.UploadParts = self._json(
            "POST", "/api/v1/uploads/{upload_id}/parts", path={"upload_id": upload_id}
        )
        return answer

    def get_moment(self, moment_id: str) -> models.Moment:
        """One moment.

        With the reasons of its score, and what people made of it.

        Needs the scope `read`.
        """
        answer: models.Moment = self._json(
            "GET", "/api/v1/moments/{moment_id}", path={"moment_id": moment_id}
        )
        return answer

    def update_moment(
        self, moment_id: str, body: models.PatchedMomentUpdateRequest
    ) -> models.Moment:
        """Move its edges, title, pin or rate it.

        A moment that was moved is rated anew and pinned. Exports that were made of it keep the edges that they were made with. A rating is kept beside the scores that it was given for.

        Needs the scope `write`.
        """
        answer: models.Moment = self._json(
            "PATCH", "/api/v1/moments/{moment_id}", path={"moment_id": moment_id}, body=body
        )
        return answer

    def delete_moment(self, moment_id: str) -> None:
        """Delete a moment.

        Exports that were made of it stay.

        Needs the scope `write`.
        """
        self._json("DELETE", "/api/v1/moments/{moment_id}", path={"moment_id": moment_id})

    def download_moment_poster(
        self, moment_id: str, name: Literal["poster.jpg", "poster.webp"]
    ) -> Download:
        """Redirect to a signed, expiring URL of the poster of a moment.

        Made when somebody first asks, which takes half a second, and again when its edges have moved. Where none can be made, it is that of the project.

        Needs the scope `read`.
        """
        return self._file(
            "GET",
            "/api/v1/moments/{moment_id}/pictures/{name}",
            path={"moment_id": moment_id, "name": name},
        )

    def get_moment_transcript(self, moment_id: str) -> models.Transcript:
        """The words that are spoken in a moment.

        Times are seconds into the moment. 404 `no_transcript` where there are none.

        Needs the scope `read`.
        """
        answer: models.Transcript = self._json(
            "GET", "/api/v1/moments/{moment_id}/transcript", path={"moment_id": moment_id}
        )
        return answer

    def get_moment_transcript_text(
        self, moment_id: str, *, format: Literal["srt", "txt", "vtt"]
    ) -> str:
        """The words that are spoken in a moment As text, in this format.

        Times are seconds into the moment. 404 `no_transcript` where there are none.

        Needs the scope `read`.
        """
        return self._text(
            "GET",
            "/api/v1/moments/{moment_id}/transcript",
            path={"moment_id": moment_id},
            query={"format": format},
        )

    def list_exports(
        self,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        ids: Sequence[str] | None = None,
        page_size: int | None = None,
        project: str | None = None,
        q: str | None = None,
        sort: Literal["created_at", "updated_at"] | None = None,
        status: Sequence[Literal["CANCELLED", "EXPIRED", "FAILED", "QUEUED", "READY", "RENDERING"]]
        | None = None,
        updated_after: str | datetime.datetime | None = None,
        updated_before: str | datetime.datetime | None = None,
    ) -> Pages[models.Export]:
        """Exports, newest first.

        Filters combine. A filter by a project that is not yours is 404.

        Needs the scope `read`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        ids: Multiple values may be separated by commas.
        page_size: So many rows at most.
        project: Of this project.
        q: In the title or the external id of its project, in any case.
        sort: Newest first, by this time.
        status: In this status; of several, in any of them.
        updated_after: Changed at this time or later; ordered by the time of the change, unless `sort` says else.
        updated_before: Changed before this time; ordered by the time of the change, unless `sort` says else.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/exports",
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "ids": self._joined(ids),
                    "page_size": page_size,
                    "project": project,
                    "q": q,
                    "sort": sort,
                    "status": status,
                    "updated_after": updated_after,
                    "updated_before": updated_before,
                    **query,
                },
            )
        )

    def create_export(
        self, body: models.ExportCreateRequest, *, idempotency_key: str | None = None
    ) -> models.Export:
        """Render a moment, or start to end of a project.

        Reserves 1 credit for each started minute of the clip, 2 above 1080 and 4 in 2160; they are charged when the file is ready, and given back otherwise. Captions cost nothing.

        Needs the scope `write`.
        """
        answer: models.Export = self._json(
            "POST", "/api/v1/exports", body=body, idempotent=True, idempotency_key=idempotency_key
        )
        return answer

    def get_export(self, export_id: str, *, wait: int | None = None) -> models.Export:
        """One export, with its progress.

        Poll it with `If-None-Match`: what has not changed is 304. `Retry-After` says when there may be news; `wait` lets the request wait for it.

        Needs the scope `read`.

        wait: With `If-None-Match`: answer once there is news, after so many seconds at the latest.
        """
        answer: models.Export = self._json(
            "GET",
            "/api/v1/exports/{export_id}",
            path={"export_id": export_id},
            query={"wait": wait},
        )
        return answer

    def update_export(
        self, export_id: str, body: models.PatchedExportUpdateRequest
    ) -> models.Export:
        """Pin the export, or let it go.

        A pinned file is not deleted after its retention while the organization pays for its tier. Without that, and when it is no longer pinned, it is kept for nine days at least, and its end is told a week and a day before.

        Needs the scope `write`.
        """
        answer: models.Export = self._json(
            "PATCH", "/api/v1/exports/{export_id}", path={"export_id": export_id}, body=body
        )
        return answer

    def delete_export(self, export_id: str) -> None:
        """Delete the export and its file.

        One that waits or runs is cancelled first, and its credits come back. What a finished one cost stays charged.

        Needs the scope `write`.
        """
        self._json("DELETE", "/api/v1/exports/{export_id}", path={"export_id": export_id})

    def cancel_export(self, export_id: str) -> models.Export:
        """Stop the render and give the credits back.

        Repeating it changes nothing.

        Needs the scope `write`.
        """
        answer: models.Export = self._json(
            "POST", "/api/v1/exports/{export_id}/cancel", path={"export_id": export_id}
        )
        return answer

    def download_export_captions(
        self, export_id: str, name: Literal["captions.srt", "captions.vtt"]
    ) -> Download:
        """Redirect to a signed, expiring URL of the subtitles.

        For a `track` of a player, beside the clip; times are seconds into it. 404 `no_transcript` where nothing is spoken.

        Needs the scope `read`.
        """
        return self._file(
            "GET",
            "/api/v1/exports/{export_id}/captions/{name}",
            path={"export_id": export_id, "name": name},
        )

    def download_export(self, export_id: str) -> Download:
        """Redirect to a signed, expiring URL of the file.

        A link of its own, good for some minutes; whoever has it may fetch the file. With `?inline=1` added to it, a browser plays the file instead of saving it.

        Needs the scope `read`.
        """
        return self._file(
            "GET", "/api/v1/exports/{export_id}/download", path={"export_id": export_id}
        )

    def download_export_picture(
        self, export_id: str, name: Literal["poster.jpg", "poster.webp", "strip.jpg", "strip.vtt"]
    ) -> Download:
        """Redirect to a signed, expiring URL of the poster or the strip.

        The strip is one sprite; its WebVTT says which part of it stands for which time.

        Needs the scope `read`.
        """
        return self._file(
            "GET",
            "/api/v1/exports/{export_id}/pictures/{name}",
            path={"export_id": export_id, "name": name},
        )

    def retry_export(
        self,
        export_id: str,
        body: models.TermsRequest | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> models.Export:
        """Render again after a failure or a cancel.

        Under the same id and at today's price, unless a quote is named. Only what failed or was cancelled.

        Needs the scope `write`.
        """
        answer: models.Export = self._json(
            "POST",
            "/api/v1/exports/{export_id}/retry",
            path={"export_id": export_id},
            body=body,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer

    def get_export_transcript(self, export_id: str) -> models.Transcript:
        """The words that are spoken in a clip.

        Times are seconds into the clip. 404 `no_transcript` where there are none.

        Needs the scope `read`.
        """
        answer: models.Transcript = self._json(
            "GET", "/api/v1/exports/{export_id}/transcript", path={"export_id": export_id}
        )
        return answer

    def get_export_transcript_text(
        self, export_id: str, *, format: Literal["srt", "txt", "vtt"]
    ) -> str:
        """The words that are spoken in a clip As text, in this format.

        Times are seconds into the clip. 404 `no_transcript` where there are none.

        Needs the scope `read`.
        """
        return self._text(
            "GET",
            "/api/v1/exports/{export_id}/transcript",
            path={"export_id": export_id},
            query={"format": format},
        )

    def create_export_batch(
        self, body: models.ExportBatchRequest, *, idempotency_key: str | None = None
    ) -> models.ExportBatchResult:
        """Order up to 100 exports at once.

        With `all_or_nothing` all are ordered, or none: a refusal points at each that cannot be. With `per_item` the answer says what became of each. Both are one transaction, and one `Idempotency-Key` covers it. `max_credits` and `quote_id` are for all together. Each export counts in the limit `exports`.

        Needs the scope `write`.
        """
        answer: models.ExportBatchResult = self._json(
            "POST",
            "/api/v1/exports/batch",
            body=body,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer

    def get_watermark(self) -> models.Watermark:
        """The image that clips may carry.

        404 where there is none.

        Needs the scope `read`.
        """
        answer: models.Watermark = self._json("GET", "/api/v1/watermark")
        return answer

    def replace_watermark(
        self, content: bytes, *, content_type: Literal["image/png", "image/webp"]
    ) -> models.Watermark:
        """Set the image that clips may carry.

        The body is a PNG or WebP of up to 512 KiB and 8 to 2048 pixels a side. It is written anew, without anything but its picture, and at most 1024 pixels wide and high. Clips that ask for a `watermark` have it from now on. Free; tiers without watermarks are refused with 403 `watermark_not_in_tier`.

        Needs the scope `write`.
        """
        answer: models.Watermark = self._json(
            "PUT", "/api/v1/watermark", content=content, content_type=content_type
        )
        return answer

    def delete_watermark(self) -> None:
        """Remove the image.

        Finished clips keep it. Those that wait for it fail, and cost nothing.

        Needs the scope `write`.
        """
        self._json("DELETE", "/api/v1/watermark")

    def search_transcripts(self, *, q: str) -> models.FoundTranscripts:
        """Projects in which some words are spoken.

        The newest twenty, with the sentences that have most of the words. Words are found in all their forms, and all of them must be spoken; "a phrase" in quotes, `or` between two and `-` before a word work too.

        Needs the scope `read`.

        q: Up to 200 characters.
        """
        answer: models.FoundTranscripts = self._json("GET", "/api/v1/transcripts", query={"q": q})
        return answer

    def get_balance(self) -> models.Balance:
        """Credits available, held and posted.

        Never older than the last change. What is available can be spent now.

        Needs the scope `read`.
        """
        answer: models.Balance = self._json("GET", "/api/v1/credits/balance")
        return answer

    def list_holds(
        self,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        page_size: int | None = None,
        reference_id: str | None = None,
        status: Literal["CAPTURED", "EXPIRED", "HELD", "RELEASED"] | None = None,
    ) -> Pages[models.Hold]:
        """Reservations, newest first.

        What work that waits or runs has reserved, and how it ended.

        Needs the scope `read`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        page_size: So many rows at most.
        reference_id: Of a project or an export.
        status: In this status; of several, in any of them.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/credits/holds",
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "page_size": page_size,
                    "reference_id": reference_id,
                    "status": status,
                    **query,
                },
            )
        )

    def get_statement(self, *, month: str) -> models.Statement:
        """A month of the ledger: opening, movements, closing.

        The oldest first. Months are of UTC. As JSON up to 10,000 movements.

        Needs the scope `read`.

        month: Of a year.
        """
        answer: models.Statement = self._json(
            "GET", "/api/v1/credits/statement", query={"month": month}
        )
        return answer

    def get_statement_text(self, *, month: str, format: Literal["csv"]) -> str:
        """A month of the ledger: opening, movements, closing As text, in this format.

        The oldest first. Months are of UTC. As JSON up to 10,000 movements.

        Needs the scope `read`.

        month: Of a year.
        """
        return self._text(
            "GET", "/api/v1/credits/statement", query={"month": month, "format": format}
        )

    def list_transactions(
        self,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        page_size: int | None = None,
        reference_id: str | None = None,
        type: Literal["ADJUST", "EXPIRE", "GRANT", "PURCHASE", "REFUND", "SPEND"] | None = None,
    ) -> Pages[models.Transaction]:
        """The ledger, newest first.

        Every movement of credits, with all that its amount was computed from. Rows never change.

        Needs the scope `read`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        page_size: So many rows at most.
        reference_id: Of a project or an export.
        type: Of this type.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/credits/transactions",
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "page_size": page_size,
                    "reference_id": reference_id,
                    "type": type,
                    **query,
                },
            )
        )

    def create_checkout(
        self, body: models.CheckoutRequestRequest, *, idempotency_key: str | None = None
    ) -> models.Checkout:
        """Open a page where a plan or a credit pack is paid.

        Nothing is charged and no credits come until the customer has paid there.

        Needs the scope `billing`.
        """
        answer: models.Checkout = self._json(
            "POST",
            "/api/v1/billing/checkout",
            body=body,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer

    def list_payments(
        self,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        page_size: int | None = None,
        q: str | None = None,
        status: Sequence[Literal["EXPIRED", "PAID", "PENDING"]] | None = None,
    ) -> Pages[models.Payment]:
        """Payments, newest first.

        What was asked for and what was paid, by card or by transfer, with what it bought.

        Needs the scope `billing`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        page_size: So many rows at most.
        q: In reference, in any case.
        status: In this status; of several, in any of them.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/billing/payments",
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "page_size": page_size,
                    "q": q,
                    "status": status,
                    **query,
                },
            )
        )

    def get_payment(self, payment_id: str) -> models.Payment:
        """One payment.

        It is pending until Stripe says that it was paid, which may be minutes after the customer did.

        Needs the scope `billing`.
        """
        answer: models.Payment = self._json(
            "GET", "/api/v1/billing/payments/{payment_id}", path={"payment_id": payment_id}
        )
        return answer

    def create_portal_session(self) -> models.Portal:
        """Open a page where the plan is changed or cancelled.

        Stripe's own page. The address is good for a short time and for this customer.

        Needs the scope `billing`.
        """
        answer: models.Portal = self._json("POST", "/api/v1/billing/portal")
        return answer

    def get_subscription(self) -> models.CurrentSubscription:
        """The paid plan that goes on, if any.

        Null where no plan is paid for. A plan that ends is shown until its end.

        Needs the scope `billing`.
        """
        answer: models.CurrentSubscription = self._json("GET", "/api/v1/billing/subscription")
        return answer

    def get_pricing(self) -> models.Pricing:
        """Plans and credit packs, cheapest first.

        Public: whoever wants to know what it costs has no key yet. With one its organization counts.

        Needs the scope `read`.
        """
        answer: models.Pricing = self._json("GET", "/api/v1/pricing")
        return answer

    def create_quote(self, body: models.QuoteRequestRequest) -> models.Quote:
        """What work costs, for an hour.

        Nothing is reserved. What is ordered with the `quote_id` costs what its line says, whatever prices are then, or is refused. A line is for one piece of work of the same kind, started minutes and resolution.

        Needs the scope `read`.
        """
        answer: models.Quote = self._json("POST", "/api/v1/quotes", body=body)
        return answer

    def get_usage(
        self, *, from_: str, group_by: Literal["day", "key", "kind"] | None = None, to: str
    ) -> models.Usage:
        """Credits that work used, by day, by key or by kind.

        Summed up from the ledger, and exact: a charge counts on the day on which its work was finished, a refund on the day on which it was made. Days are of UTC, and both are included; at most 366 of them. What was reserved and given back is not in it.

        Needs the scope `read`.

        from_: The first day.
        group_by: Sums.
        to: The last day.
        """
        answer: models.Usage = self._json(
            "GET", "/api/v1/usage", query={"from": from_, "group_by": group_by, "to": to}
        )
        return answer

    def get_usage_text(
        self,
        *,
        from_: str,
        group_by: Literal["day", "key", "kind"] | None = None,
        to: str,
        format: Literal["csv"],
    ) -> str:
        """Credits that work used, by day, by key or by kind As text, in this format.

        Summed up from the ledger, and exact: a charge counts on the day on which its work was finished, a refund on the day on which it was made. Days are of UTC, and both are included; at most 366 of them. What was reserved and given back is not in it.

        Needs the scope `read`.

        from_: The first day.
        group_by: Sums.
        to: The last day.
        """
        return self._text(
            "GET",
            "/api/v1/usage",
            query={"from": from_, "group_by": group_by, "to": to, "format": format},
        )

    def get_me(self) -> models.Me:
        """The organization, tier, limits and key in use.

        Whose key this is, and the limits that it is under.

        Needs the scope `read`.
        """
        answer: models.Me = self._json("GET", "/api/v1/me")
        return answer

    def get_origins(self) -> models.Origins:
        """The origins whose pages may read answers.

        A browser shows an answer to a page only if its origin is in this list.

        Needs the scope `read`.
        """
        answer: models.Origins = self._json("GET", "/api/v1/origins")
        return answer

    def replace_origins(self, body: models.OriginsRequest) -> models.Origins:
        """Allow pages of these origins, and of no others.

        At once, for requests with any key or token of the organization.

        Needs the scope `keys`.
        """
        answer: models.Origins = self._json("PUT", "/api/v1/origins", body=body)
        return answer

    def list_keys(
        self,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        is_revoked: Literal["false", "true"] | None = None,
        mode: Literal["live", "test"] | None = None,
        page_size: int | None = None,
        q: str | None = None,
    ) -> Pages[models.Key]:
        """Keys, newest first.

        Those that ended and were revoked too. Tokens of pages are not listed.

        Needs the scope `keys`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        is_revoked: Those that were revoked, or those that were not.
        mode: `test`: the keys of the sandbox. Else those of the organization of the key.
        page_size: So many rows at most.
        q: In name or prefix, in any case.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/keys",
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "is_revoked": is_revoked,
                    "mode": mode,
                    "page_size": page_size,
                    "q": q,
                    **query,
                },
            )
        )

    def create_key(self, body: models.KeyRequestRequest) -> models.NewKey:
        """Make a key.

        It can do no more than the key that asks for it. The answer has its text, and is the only one that has: whoever loses it revokes the key and makes another.

        Needs the scope `keys`.
        """
        answer: models.NewKey = self._json("POST", "/api/v1/keys", body=body)
        return answer

    def get_key(self, key_id: str) -> models.Key:
        """One key.

        What it may do, until when, what it spent in this month and when it was last used.

        Needs the scope `keys`.
        """
        answer: models.Key = self._json("GET", "/api/v1/keys/{key_id}", path={"key_id": key_id})
        return answer

    def update_key(self, key_id: str, body: models.PatchedKeyLimitsRequest) -> models.Key:
        """Change what a key may do, from where, and how much.

        From the next request on; what is left out stays. Any key may be narrowed, also the one that asks. One that is given more can then do no more than the key that asks. The cap is that of all keys that share it.

        Needs the scope `keys`.
        """
        answer: models.Key = self._json(
            "PATCH", "/api/v1/keys/{key_id}", path={"key_id": key_id}, body=body
        )
        return answer

    def revoke_key(self, key_id: str) -> None:
        """Revoke a key, and no other.

        It is refused from the next request on, and so are its tokens. Also the key that asks may be revoked; the others of the organization stay as they are, also those that it made: see `POST /keys/{id}/revoke`.

        Needs the scope `keys`.
        """
        self._json("DELETE", "/api/v1/keys/{key_id}", path={"key_id": key_id})

    def list_key_descendants(self, key_id: str) -> models.Keys:
        """The working keys that come from a key.

        Those that were made with it, or in its place by rotation, and with those in turn, oldest first, also in the sandbox. `POST /keys/{id}/revoke` revokes them with it.

        Needs the scope `keys`.
        """
        answer: models.Keys = self._json(
            "GET", "/api/v1/keys/{key_id}/descendants", path={"key_id": key_id}
        )
        return answer

    def revoke_key_family(self, key_id: str, body: models.KeyRevocationRequest) -> models.Keys:
        """Revoke a key in wrong hands, with all that come from it.

        Whoever had it may have made others. The answer has the keys that worked until now. Repeating it finds what is left: none.

        Needs the scope `keys`.
        """
        answer: models.Keys = self._json(
            "POST", "/api/v1/keys/{key_id}/revoke", path={"key_id": key_id}, body=body
        )
        return answer

    def rotate_key(self, key_id: str, body: models.KeyRotationRequest) -> models.NewKey:
        """Give a key a successor.

        The successor may do the same, under the same cap. The key that it replaces works for `overlap_hours` more, and its tokens no longer than it. Both are listed; the owners get mail. A key has one successor: rotated again it is 409 `key_rotated`.

        Needs the scope `keys`.
        """
        answer: models.NewKey = self._json(
            "POST", "/api/v1/keys/{key_id}/rotate", path={"key_id": key_id}, body=body
        )
        return answer

    def create_token(self, body: models.TokenRequestRequest) -> models.Token:
        """A short-lived token for a page.

        For a page in a browser, where a key would be read by everybody. It may do what its scope says, which the key that asks for it must have too, from origins that are allowed, until it ends. It ends with that key at the latest, also where it is revoked or rotated, and shares its monthly cap.

        Needs the scope `keys`.
        """
        answer: models.Token = self._json("POST", "/api/v1/tokens", body=body)
        return answer

    def get_webhook_delivery(self, delivery_id: str) -> models.DeliveryDetail:
        """One delivery: its body and its attempts.

        With what the endpoint answered to each attempt, so far as it was kept.

        Needs the scope `webhooks`.
        """
        answer: models.DeliveryDetail = self._json(
            "GET", "/api/v1/webhooks/deliveries/{delivery_id}", path={"delivery_id": delivery_id}
        )
        return answer

    def replay_webhook_delivery(self, delivery_id: str) -> models.Delivery:
        """Send it again, under the same id.

        Whoever got it before knows it by its id, which stays.

        Needs the scope `webhooks`.
        """
        answer: models.Delivery = self._json(
            "POST",
            "/api/v1/webhooks/deliveries/{delivery_id}/replay",
            path={"delivery_id": delivery_id},
        )
        return answer

    def list_webhook_endpoints(
        self,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        is_enabled: bool | None = None,
        page_size: int | None = None,
        q: str | None = None,
    ) -> Pages[models.Endpoint]:
        """Webhook endpoints, newest first.

        The addresses that are told of events.

        Needs the scope `webhooks`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        is_enabled: That are told of events, or those that are not.
        page_size: So many rows at most.
        q: In url or description, in any case.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/webhooks/endpoints",
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "is_enabled": is_enabled,
                    "page_size": page_size,
                    "q": q,
                    **query,
                },
            )
        )

    def create_webhook_endpoint(
        self, body: models.EndpointCreateRequest
    ) -> models.EndpointWithSecret:
        """Have an address told of events.

        The answer has the secret that requests are signed with. It is shown this once; if it is lost, rotate it.

        Needs the scope `webhooks`.
        """
        answer: models.EndpointWithSecret = self._json(
            "POST", "/api/v1/webhooks/endpoints", body=body
        )
        return answer

    def get_webhook_endpoint(self, endpoint_id: str) -> models.Endpoint:
        """One webhook endpoint.

        Whether it is enabled, and since when it fails.

        Needs the scope `webhooks`.
        """
        answer: models.Endpoint = self._json(
            "GET", "/api/v1/webhooks/endpoints/{endpoint_id}", path={"endpoint_id": endpoint_id}
        )
        return answer

    def update_webhook_endpoint(
        self, endpoint_id: str, body: models.PatchedEndpointUpdateRequest
    ) -> models.Endpoint:
        """Change an endpoint, or enable it again.

        Only what is given is changed. One that was disabled for its failures begins anew.

        Needs the scope `webhooks`.
        """
        answer: models.Endpoint = self._json(
            "PATCH",
            "/api/v1/webhooks/endpoints/{endpoint_id}",
            path={"endpoint_id": endpoint_id},
            body=body,
        )
        return answer

    def delete_webhook_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint; what waits for it is never sent.

        At once. Its deliveries go with it.

        Needs the scope `webhooks`.
        """
        self._json(
            "DELETE", "/api/v1/webhooks/endpoints/{endpoint_id}", path={"endpoint_id": endpoint_id}
        )

    def list_webhook_deliveries(
        self,
        endpoint_id: str,
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        object_id: str | None = None,
        page_size: int | None = None,
        status: Sequence[Literal["DELIVERED", "FAILED", "PENDING"]] | None = None,
    ) -> Pages[models.Delivery]:
        """What an endpoint is told, newest first.

        Each event that was sent or will be, with what the endpoint answered.

        Needs the scope `webhooks`.

        created_after: Made at this time or later.
        created_before: Made before this time, which is not included.
        object_id: Of the project, the export or what else it is about.
        page_size: So many rows at most.
        status: In this status; of several, in any of them.
        """
        return Pages(
            lambda query: self._json(
                "GET",
                "/api/v1/webhooks/endpoints/{endpoint_id}/deliveries",
                path={"endpoint_id": endpoint_id},
                query={
                    "created_after": created_after,
                    "created_before": created_before,
                    "object_id": object_id,
                    "page_size": page_size,
                    "status": status,
                    **query,
                },
            )
        )

    def replay_webhook_events(
        self, endpoint_id: str, body: models.ReplayRequest
    ) -> models.Replayed:
        """Send an endpoint again all that happened in a time.

        Also what happened before the endpoint was made, or while it was disabled, up to 30 days ago; at most 10000 events. Each has the id that it had before.

        Needs the scope `webhooks`.
        """
        answer: models.Replayed = self._json(
            "POST",
            "/api/v1/webhooks/endpoints/{endpoint_id}/replay",
            path={"endpoint_id": endpoint_id},
            body=body,
        )
        return answer

    def rotate_webhook_secret(self, endpoint_id: str) -> models.EndpointWithSecret:
        """Give an endpoint a new secret.

        For 24 hours, the ones before sign beside it: every request has a signature of each. The answer has the new secret, and is the only one that has.

        Needs the scope `webhooks`.
        """
        answer: models.EndpointWithSecret = self._json(
            "POST",
            "/api/v1/webhooks/endpoints/{endpoint_id}/rotate-secret",
            path={"endpoint_id": endpoint_id},
        )
        return answer

    def test_webhook_endpoint(
        self, endpoint_id: str, *, idempotency_key: str | None = None
    ) -> models.Delivery:
        """Send an endpoint the event `endpoint.test`.

        To see that it is reached and that its signature is checked.

        Needs the scope `webhooks`.
        """
        answer: models.Delivery = self._json(
            "POST",
            "/api/v1/webhooks/endpoints/{endpoint_id}/test",
            path={"endpoint_id": endpoint_id},
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return answer
