from django.urls import path

from exports.api import archives, batches, captions, quotes, transcripts, views, watermark

urlpatterns = [
    path("watermark", watermark.WatermarkView.as_view(), name="watermark"),
    path("quotes", quotes.QuoteView.as_view(), name="quotes"),
    path("exports", views.ExportList.as_view(), name="exports"),
    path(
        "projects/<uuid:project_id>/exports.zip",
        archives.ProjectArchive.as_view(),
        name="project-archive",
    ),
    path("exports/batch", batches.ExportBatch.as_view(), name="export-batch"),
    path("exports/<uuid:export_id>", views.ExportDetail.as_view(), name="export"),
    path("exports/<uuid:export_id>/cancel", views.ExportCancel.as_view(), name="export-cancel"),
    path("exports/<uuid:export_id>/retry", views.ExportRetry.as_view(), name="export-retry"),
    path(
        "exports/<uuid:export_id>/download", views.ExportDownload.as_view(), name="export-download"
    ),
    path(
        "exports/<uuid:export_id>/transcript",
        transcripts.TranscriptOfExport.as_view(),
        name="export-transcript",
    ),
    path(
        "exports/<uuid:export_id>/captions/<str:name>",
        captions.ExportCaptions.as_view(),
        name="export-captions",
    ),
    path(
        "exports/<uuid:export_id>/pictures/<str:name>",
        views.ExportPicture.as_view(),
        name="export-picture",
    ),
]
file_urlpatterns = [
    path(
        "files/archives/<str:token>/<str:name>", archives.download_archive, name="download-archive"
    ),
    path(
        "files/captions/exports/<str:token>/<str:name>",
        captions.LINKS.view,
        name="export-captions-file",
    ),
    path("files/<str:token>/<str:name>", views.download_file, name="download-file"),
]
