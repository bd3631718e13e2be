from django.urls import path

from projects.api import captions, curves, moment_views, pictures, transcripts, uploads, views

urlpatterns = [
    path("projects", views.ProjectList.as_view(), name="projects"),
    path("projects/<uuid:project_id>", views.ProjectDetail.as_view(), name="project"),
    path("projects/<uuid:project_id>/cancel", views.ProjectCancel.as_view(), name="project-cancel"),
    path("projects/<uuid:project_id>/retry", views.ProjectRetry.as_view(), name="project-retry"),
    path("projects/<uuid:project_id>/moments", moment_views.MomentList.as_view(), name="moments"),
    path(
        "projects/<uuid:project_id>/moments/select",
        moment_views.MomentSelect.as_view(),
        name="moments-select",
    ),
    path("uploads", uploads.UploadList.as_view(), name="uploads"),
    path("uploads/<uuid:upload_id>", uploads.UploadDetail.as_view(), name="upload"),
    path("uploads/<uuid:upload_id>/parts", uploads.UploadParts.as_view(), name="upload-parts"),
    path(
        "uploads/<uuid:upload_id>/complete",
        uploads.UploadComplete.as_view(),
        name="upload-complete",
    ),
    path("moments/<uuid:moment_id>", moment_views.MomentDetail.as_view(), name="moment"),
    path("transcripts", transcripts.TranscriptSearch.as_view(), name="transcripts"),
    path(
        "moments/<uuid:moment_id>/transcript",
        transcripts.TranscriptOfMoment.as_view(),
        name="moment-transcript",
    ),
    path(
        "projects/<uuid:project_id>/transcript",
        transcripts.TranscriptOfProject.as_view(),
        name="transcript",
    ),
    path(
        "projects/<uuid:project_id>/pictures/<str:name>",
        pictures.ProjectPicture.as_view(),
        name="project-picture",
    ),
    path(
        "moments/<uuid:moment_id>/pictures/<str:name>",
        pictures.MomentPoster.as_view(),
        name="moment-poster",
    ),
    path("projects/<uuid:project_id>/source", pictures.ProjectSource.as_view(), name="source"),
    path(
        "projects/<uuid:project_id>/captions/<str:name>",
        captions.ProjectCaptions.as_view(),
        name="project-captions",
    ),
    path("projects/<uuid:project_id>/curves", curves.CurvesOfProject.as_view(), name="curves"),
]
file_urlpatterns = [
    path("files/pictures/<str:token>/<str:name>", pictures.picture_file, name="picture-file"),
    path(
        "files/captions/projects/<str:token>/<str:name>",
        captions.LINKS.view,
        name="project-captions-file",
    ),
    path("files/sources/<str:token>/<str:name>", pictures.source_file, name="source-file"),
]
