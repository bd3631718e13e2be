from django.urls import path

from projects.api import views

urlpatterns = [
    path("projects", views.ProjectList.as_view(), name="projects"),
    path("projects/<uuid:project_id>", views.ProjectDetail.as_view(), name="project"),
    path("projects/<uuid:project_id>/cancel", views.ProjectCancel.as_view(), name="project-cancel"),
    path("projects/<uuid:project_id>/retry", views.ProjectRetry.as_view(), name="project-retry"),
    path("projects/<uuid:project_id>/moments", views.MomentList.as_view(), name="moments"),
]
