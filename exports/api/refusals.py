"""The codes of refusals that the operations of exports have beside those of all, for the schema."""

WATERMARK_NOT_IN_TIER = {"watermark_not_in_tier": "The tier has no watermarks."}
ORDER = {
    403: {
        "resolution_not_in_tier": "The tier does not have this resolution.",
        **WATERMARK_NOT_IN_TIER,
    },
    409: {
        "project_not_ready": "The project is not READY.",
        "source_expired": "The source was deleted when its time was over.",
    },
    422: {
        "bad_range": "The range does not lie inside the source, or ends before it begins.",
        "layout_needs_height": "The layout needs a picture that is higher than wide.",
        "captions_without_transcript": "Captions need a transcript, and there is none.",
        "captions_not_drawable": "The words have letters that no font has.",
        "tighten_without_transcript": "Tightening needs a transcript, and there is none.",
        "no_watermark": "The organization has no watermark.",
    },
}
WATERMARK = {
    403: WATERMARK_NOT_IN_TIER,
    415: {"not_an_image": "The body is no PNG or WebP of the accepted size."},
    503: {"watermarks_busy": "Other images are being written. Send the request again."},
}
DOWNLOAD = {
    409: {
        "export_not_ready": "The export is not READY.",
        "export_expired": "The file was deleted when its time was over.",
    }
}
PIN = {
    403: {"pin_not_in_tier": "No file is pinned in this tier."},
    409: {"export_not_ready": "The export is not READY."},
}
ARCHIVE = {
    409: {"no_files": "The project has no export that is READY."},
    503: {"archives_busy": "Too many archives are being sent. Send the request again."},
}
TRANSCRIPT = {404: {"no_transcript": "There is no transcript."}}
