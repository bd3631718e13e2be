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

UPLOAD = {
    400: {"upload_interrupted": "The upload broke off before its end."},
    409: EXTERNAL_ID,
    415: NOT_A_VIDEO,
    422: {
        **NOT_THIS_VIDEO,
        **BAD_RANGE,
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
CORRECTION = {
    404: NO_TRANSCRIPT,
    422: {
        "no_such_word": "The transcript has no word with this index.",
        "not_a_word": "A word has 1 to 64 characters that can be shown.",
        "transcript_too_long": "The transcript would be too long.",
    },
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
