"""The codes of refusals that the operations of projects have beside those of all, for the schema."""

NOT_A_VIDEO = {
    "empty_file": "The file is empty.",
    "not_a_video": "The file is no video that is accepted.",
    "no_video_stream": "The file has sound, and no pictures.",
    "unsupported_codec": "The codec of the video is not supported.",
}
NOT_THIS_VIDEO = {
    "bad_dimensions": "The pictures are too small or too large.",
    "too_short": "The video is too short.",
    "too_long": "The video is longer than the tier allows.",
    "truncated": "The file ends before the video does.",
    "timed_out": "Looking at the file took too long.",
    "out_of_memory": "Looking at the file took too much memory.",
    "decoder_crashed": "The file cannot be decoded.",
    "no_such_audio_track": "There is no such sound track.",
}
EXTERNAL_ID = {"external_id_taken": "Another project has this external id: `existing`."}
BAD_RANGE = {"bad_range": "The range does not lie inside the source, or ends before it begins."}
NO_TRANSCRIPT = {"no_transcript": "There is no transcript."}

BUSY = {503: {"children_busy": "Too much is being looked at here. Try again in a moment."}}
ADDRESS = {
    "address_refused": "The address is none that is ever asked.",
    "not_a_file": "The site shows videos in pages; files are not fetched from there.",
}

UPLOAD_GONE = {410: {"upload_expired": "The upload was not finished in time."}}
UPLOAD_BEGUN = {
    412: {"tus_version": "Another version of the protocol than 1.0.0."},
    422: {"empty_file": "The file is empty.", "invalid_header": "A header cannot be read."},
}
USE_OF_UPLOAD = {
    **UPLOAD_GONE,
    409: {
        "upload_incomplete": "The upload is not whole yet.",
        "upload_used": "A project was made of the upload already: `existing`.",
    },
}
PARTS_ASKED = {
    **UPLOAD_GONE,
    409: {
        "wrong_protocol": "The parts are sent here, by PATCH.",
        "upload_used": "A project was made of the upload already: `existing`.",
    },
    423: {"upload_locked": "Another request began the upload just now."},
}
UPLOAD_COMPLETED = {
    **UPLOAD_GONE,
    409: {
        "wrong_protocol": "The parts are sent here, by PATCH.",
        "upload_incomplete": "Parts are missing.",
        "upload_used": "A project was made of the upload already: `existing`.",
    },
    415: {"not_a_video": "The file is no video that is accepted. The upload was removed."},
}
PART = {
    **UPLOAD_GONE,
    400: {"upload_interrupted": "The part broke off before its end."},
    409: {
        "wrong_offset": "The next part begins elsewhere.",
        "wrong_protocol": "The parts go to the bucket itself.",
        "upload_used": "A project was made of the upload already: `existing`.",
    },
    412: {"tus_version": "Another version of the protocol than 1.0.0."},
    413: {"upload_too_long": "The upload would have more bytes than it was said to have."},
    415: {"not_a_video": "The file is no video that is accepted. The upload was removed."},
    422: {"invalid_header": "A header cannot be read."},
    423: {"upload_locked": "Another request writes to the upload."},
    460: {"checksum_mismatch": "The part has another checksum, and was not kept."},
}

UPLOAD = {
    400: {"upload_interrupted": "The upload broke off before its end."},
    409: EXTERNAL_ID,
    415: NOT_A_VIDEO,
    422: {
        **NOT_THIS_VIDEO,
        **BAD_RANGE,
        **ADDRESS,
        "too_many_files": "One file a request.",
        "invalid_digest": "The digest is malformed.",
        "digest_mismatch": "The file is not the one that the digest is of.",
    },
}
UPDATE = {409: EXTERNAL_ID}
MOMENTS = {
    409: {
        "project_not_ready": "The project is not READY.",
        "features_missing": "What its analysis found is not kept any more. Analyse it again.",
        "features_unusable": "What its analysis found cannot be read. Analyse it again.",
        "too_many_moments": "The project has as many moments as it may.",
    },
    422: BAD_RANGE,
    **BUSY,
}
TRANSCRIPT = {404: NO_TRANSCRIPT, 422: BAD_RANGE}
TRANSCRIPT_LINK = {404: NO_TRANSCRIPT}
CORRECTION = {
    404: NO_TRANSCRIPT,
    422: {
        "no_such_word": "The transcript has no word with this index.",
        "not_a_word": "A word has 1 to 64 characters that can be shown.",
        "transcript_too_long": "The transcript would be too long.",
    },
}
SOURCE = {
    409: {
        "source_expired": "The source was deleted when its time was over.",
        "no_source": "The source was not fetched yet, or never came.",
    }
}
PICTURE = {409: {"project_not_ready": "The project is not analysed yet."}}
CURVES = {
    409: {
        "project_not_ready": "The project is not analysed yet.",
        "features_missing": "What its analysis found is not kept any more. Analyse it again.",
        "features_unusable": "What its analysis found cannot be read. Analyse it again.",
    },
    **BUSY,
}
