from django.urls import path

from exports.api import transcripts, views

urlpatterns = [
    path("quotes", views.QuoteView.as_view(), name="quotes"),
    path("exports", views.ExportList.as_view(), name="exports"),
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
        "exports/<uuid:export_id>/pictures/<str:name>",
        views.ExportPicture.as_view(),
        name="export-picture",
    ),
]
file_urlpatterns = [
    path("files/<str:token>/<str:name>", views.download_file, name="download-file"),
]
