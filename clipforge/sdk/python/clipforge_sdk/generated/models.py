"""Made by `manage.py generate_sdk` from the schema of the API: not to be edited."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

ApiVersionEnum: TypeAlias = Literal["2026-11-25", "2026-11-30"]


AspectEnum: TypeAlias = Literal["9:16", "1:1", "16:9", "source"]


class Balance(TypedDict):
    available: int
    """
    Credits that can be spent now.
    """
    held: int
    """
    Credits reserved for work under way.
    """
    posted: int
    """
    Credits altogether: available and held.
    """
    debt: int
    """
    Credits spent whose payment went back; what comes next settles it.
    """


CaptionStylePositionEnum: TypeAlias = Literal["top", "middle", "bottom"]


CaptionsEnum: TypeAlias = Literal["none", "plain", "bold-word", "karaoke"]


class Checkout(TypedDict):
    payment: str
    """
    Pending until Stripe says that it was paid.
    """
    url: str
    """
    Where the customer pays.
    """


class CheckoutRequestRequest(TypedDict):
    price: str
    """
    The `code` of a plan or pack.
    """
    currency: NotRequired[str]
    """
    Refused unless the price is in it.
    """


class CorrectionRequest(TypedDict):
    index: int
    """
    Of the word, as the transcript says.
    """
    text: str
    """
    The word, with its punctuation.
    """


class Credits(TypedDict):
    """
    What the work costs: reserved while it waits and runs, charged when it succeeded.
    """

    reserved: int
    charged: int


class Curve(TypedDict):
    name: str
    """
    `score`, or that of a sub-score of moments.
    """
    values: list[float]
    """
    0 to 100, at half a step, one and a half, and so on.
    """


class Curves(TypedDict):
    scorer_version: str
    duration: float
    """
    Of the source, in seconds.
    """
    step: float
    """
    Seconds from one value to the next.
    """
    window: float
    """
    Seconds around it that a value rates.
    """
    curves: list[Curve]


DeliveryStatusEnum: TypeAlias = Literal["PENDING", "DELIVERED", "FAILED"]


class Endpoint(TypedDict):
    """
    An address that is told of events.
    """

    id: str
    url: str
    description: str | None
    event_types: list[str]
    """
    Empty: all of them.
    """
    api_version: str
    """
    Of the API, by date: what it is told has the shape that `GET` has in it.
    """
    is_enabled: bool
    disabled_at: str | None
    disabled_because: str | None
    """
    `BY_HAND`, `FAILURES`, or null.
    """
    failing_since: str | None
    former_secret_until: str | None
    """
    Until then, secrets from before a rotation sign too; null: there is none.
    """
    created_at: str
    updated_at: str


class EndpointTestEvent(TypedDict):
    id: str
    type: Literal["endpoint.test"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Endpoint


class EndpointWithSecret(TypedDict):
    """
    An endpoint with its secret, which is shown this once.
    """

    id: str
    url: str
    description: str | None
    event_types: list[str]
    """
    Empty: all of them.
    """
    api_version: str
    """
    Of the API, by date: what it is told has the shape that `GET` has in it.
    """
    is_enabled: bool
    disabled_at: str | None
    disabled_because: str | None
    """
    `BY_HAND`, `FAILURES`, or null.
    """
    failing_since: str | None
    former_secret_until: str | None
    """
    Until then, secrets from before a rotation sign too; null: there is none.
    """
    created_at: str
    updated_at: str
    secret: str
    """
    `whsec_…`, after Standard Webhooks.
    """


EventTypesEnum: TypeAlias = Literal[
    "project.ready",
    "project.empty",
    "project.failed",
    "project.cancelled",
    "project.ending",
    "project.expiring",
    "export.ready",
    "export.failed",
    "export.cancelled",
    "export.ending",
    "export.expiring",
    "credits.low",
    "payment.succeeded",
    "payment.failed",
    "payment.refunded",
]


class CaptionStyle(TypedDict):
    """
    The look of captions; null without them.
    """

    position: NotRequired[Literal["top", "middle", "bottom"]]
    size: NotRequired[Literal["small", "medium", "large"]]
    color: NotRequired[str]
    """
    Of the text, `#rrggbb`.
    """
    highlight: NotRequired[str]
    """
    Of the spoken words, `#rrggbb`.
    """


ExportBatchModeEnum: TypeAlias = Literal["all_or_nothing", "per_item"]


ExportStatusEnum: TypeAlias = Literal[
    "QUEUED", "RENDERING", "READY", "FAILED", "CANCELLED", "EXPIRED"
]


class Failure(TypedDict):
    """
    Why work ended without a result. `code` is stable.
    """

    code: str
    message: str


class FieldError(TypedDict):
    pointer: str
    """
    RFC 6901 pointer to the field in the body.
    """
    code: str
    detail: str


FormatEnum: TypeAlias = Literal["mp4", "mp4-hevc", "mp4-av1", "webm"]


FpsEnum: TypeAlias = Literal[24, 25, 30, 50, 60]


GroupByEnum: TypeAlias = Literal["day", "key", "kind"]


class Inputs(TypedDict):
    """
    The numbers of the price: what was measured, and what is counted of it.
    """

    item: NotRequired[str]
    """
    What is priced: a key of the price list.
    """
    seconds: NotRequired[float]
    """
    The length.
    """
    minutes: NotRequired[int]
    """
    Started minutes of it.
    """


HoldStatusEnum: TypeAlias = Literal["HELD", "CAPTURED", "RELEASED", "EXPIRED"]


KeyRequestModeEnum: TypeAlias = Literal["live", "test"]


AllowedAddress: TypeAlias = str


class KeyRevocationRequest(TypedDict):
    descendants: NotRequired[bool]
    """
    Also the keys that were made with it, or in its place by rotation, and with those.
    """


class KeyRotationRequest(TypedDict):
    overlap_hours: NotRequired[int]
    """
    So long the old key still works.
    """


KindsEnum: TypeAlias = Literal["talk", "action", "music"]


LayoutEnum: TypeAlias = Literal["auto", "crop", "fit", "split"]


class LowBalance(TypedDict):
    """
    The balance of an organization, as `GET /credits/balance` answers.
    """

    available: int
    held: int
    posted: int
    debt: int


MethodEnum: TypeAlias = Literal["STRIPE", "MANUAL"]


class MissingPart(TypedDict):
    number: int
    """
    From 1 on.
    """
    offset: int
    """
    Where it begins in the file.
    """
    size: int
    """
    Bytes; the address takes no other size.
    """
    url: str
    """
    Takes the part by PUT, for an hour. It is a secret.
    """


NullEnum: TypeAlias = None


OriginEnum: TypeAlias = Literal["chosen", "made"]


Origin: TypeAlias = str


class Origins(TypedDict):
    origins: list[Origin]
    """
    As browsers write them: https://app.example.com, without a path.
    """


class OriginsRequest(TypedDict):
    origins: list[Origin]
    """
    As browsers write them: https://app.example.com, without a path.
    """


class Pack(TypedDict):
    code: str
    name: str
    credits: int
    validity_days: int | None
    """
    How long the credits last; null: for ever.
    """
    amount: int
    """
    In minor units of the currency: 1900 is 19.00 usd.
    """
    currency: str


class PaginatedEndpointList(TypedDict):
    results: list[Endpoint]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PatchedCorrectionsRequest(TypedDict):
    words: NotRequired[list[CorrectionRequest]]


class PatchedEndpointUpdateRequest(TypedDict):
    url: NotRequired[str]
    """
    https, on the public internet.
    """
    description: NotRequired[str]
    event_types: NotRequired[list[EventTypesEnum]]
    """
    Of which it is told; empty, or left out: of all, also of those to come.
    """
    api_version: NotRequired[ApiVersionEnum]
    """
    Of the API: what it is told has this shape. Left out: that of the request.
    """
    is_enabled: NotRequired[bool]


class PatchedExportUpdateRequest(TypedDict):
    """
    What can be changed of an export.
    """

    pinned: NotRequired[bool]
    """
    Keep the file while the organization pays for its tier.
    """


class PatchedProjectUpdateRequest(TypedDict):
    title: NotRequired[str]
    external_id: NotRequired[str | None]
    """
    Your own id of the project. One that another project has is 409 `external_id_taken`.
    """
    metadata: NotRequired[dict[str, str]]
    """
    Up to 20 texts of your own, by name: 40 and 500 characters.
    """


PaymentStatusEnum: TypeAlias = Literal["PENDING", "PAID", "EXPIRED"]


class Plan(TypedDict):
    code: str
    name: str
    tier: str
    credits_per_month: int
    amount: int
    """
    In minor units of the currency: 1900 is 19.00 usd. Each month.
    """
    currency: str


class Portal(TypedDict):
    url: str
    """
    Where the customer changes or cancels its plan.
    """


class Pricing(TypedDict):
    version: int
    """
    Grows with every change of the list.
    """
    plans: list[Plan]
    packs: list[Pack]


class Problem(TypedDict):
    """
    RFC 9457 problem document. `code` is stable; `detail` is for people.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None
    errors: NotRequired[list[FieldError]]
    needed: NotRequired[int]
    """
    Credits, with 402 and `max_credits_exceeded`.
    """
    max_credits: NotRequired[int]
    """
    What the order allows, with `max_credits_exceeded`.
    """
    available: NotRequired[int]
    """
    Credits, with 402.
    """
    limit: NotRequired[int | str]
    """
    What was exceeded: bytes, with 413; the name of a limit, with 429.
    """
    scope: NotRequired[str]
    """
    That the key has not, with `scope_missing`.
    """
    cap: NotRequired[int]
    """
    Credits a month, with `key_cap_reached`.
    """
    resets_at: NotRequired[str]
    """
    When the next month begins, with `key_cap_reached`.
    """
    quota: NotRequired[int]
    """
    What the limit allows, with 429.
    """
    existing: NotRequired[str]
    """
    The object that has the id already, with `external_id_taken`; what was ordered with the quote, with `quote_used`.
    """
    running: NotRequired[int]
    """
    Jobs, with `concurrent_jobs`.
    """
    received: NotRequired[str]
    """
    The digest of what arrived, with `digest_mismatch`.
    """
    window: NotRequired[int]
    """
    In so many seconds, with 429.
    """


RangeItem: TypeAlias = float


Keyword: TypeAlias = str


class ProjectOrderRequest(TypedDict):
    """
    A source that is fetched from its address, or was sent in parts: one of the two.
    """

    count: NotRequired[int]
    """
    So many moments at most, though they cover more than half of the source.
    """
    min_seconds: NotRequired[float]
    """
    Of each moment.
    """
    max_seconds: NotRequired[float]
    """
    Of each moment.
    """
    range: NotRequired[list[RangeItem]]
    """
    The stretch of the source in which they lie: start and end in seconds.
    """
    keywords: NotRequired[list[Keyword]]
    """
    Moments that speak of them rank higher.
    """
    kinds: NotRequired[list[KindsEnum]]
    """
    Only moments of these kinds.
    """
    language: NotRequired[str]
    """
    The language that is spoken, as ISO 639-1. Of an upload it is guessed where it is left out; where the speech model does not speak it, there is no transcript. Choosing again disregards the words of a transcript in another language.
    """
    title: NotRequired[str]
    audio_track: NotRequired[int]
    """
    The sound track to use, counted from 0. Left out: the one that people hear.
    """
    external_id: NotRequired[str]
    """
    Your own id of the project. One that another project has is 409 `external_id_taken`.
    """
    metadata: NotRequired[dict[str, str]]
    """
    Up to 20 texts of your own, by name: 40 and 500 characters.
    """
    max_credits: NotRequired[int]
    """
    What costs more is refused: 409 `max_credits_exceeded`.
    """
    quote_id: NotRequired[str]
    """
    It costs what the quote says, or is refused: 409 `quote_expired`, `quote_mismatch` or `quote_used`.
    """
    upload: NotRequired[str]
    """
    The id of a whole upload; see `POST /uploads`.
    """
    source_url: NotRequired[str]
    """
    The address of a video file, as `https://host/path`, readable without signing in. A signed address of a bucket will do; it has to be good for an hour. Its price is known when the file is here: one above `max_credits` ends the project as FAILED, and `quote_id` is not taken.
    """


ProjectStatusEnum: TypeAlias = Literal[
    "UPLOADED", "QUEUED", "ANALYZING", "READY", "EMPTY", "FAILED", "CANCELLED", "EXPIRED"
]


class ProjectUploadRequest(TypedDict):
    """
    What is said of a source, however it comes.
    """

    count: NotRequired[int]
    """
    So many moments at most, though they cover more than half of the source.
    """
    min_seconds: NotRequired[float]
    """
    Of each moment.
    """
    max_seconds: NotRequired[float]
    """
    Of each moment.
    """
    range: NotRequired[list[RangeItem]]
    """
    The stretch of the source in which they lie: start and end in seconds.
    """
    keywords: NotRequired[list[Keyword]]
    """
    Moments that speak of them rank higher.
    """
    kinds: NotRequired[list[KindsEnum]]
    """
    Only moments of these kinds.
    """
    language: NotRequired[str]
    """
    The language that is spoken, as ISO 639-1. Of an upload it is guessed where it is left out; where the speech model does not speak it, there is no transcript. Choosing again disregards the words of a transcript in another language.
    """
    title: NotRequired[str]
    audio_track: NotRequired[int]
    """
    The sound track to use, counted from 0. Left out: the one that people hear.
    """
    external_id: NotRequired[str]
    """
    Your own id of the project. One that another project has is 409 `external_id_taken`.
    """
    metadata: NotRequired[dict[str, str]]
    """
    Up to 20 texts of your own, by name: 40 and 500 characters.
    """
    max_credits: NotRequired[int]
    """
    What costs more is refused: 409 `max_credits_exceeded`.
    """
    quote_id: NotRequired[str]
    """
    It costs what the quote says, or is refused: 409 `quote_expired`, `quote_mismatch` or `quote_used`.
    """


ProtocolEnum: TypeAlias = Literal["tus", "s3"]


class QuoteLine(TypedDict):
    kind: str
    """
    `analysis` or `export`.
    """
    seconds: float
    """
    As it was asked for.
    """
    minutes: int
    """
    Started minutes of it, which are what is priced.
    """
    resolution: int | None
    """
    Of an export.
    """
    credits: int
    """
    The price of this line.
    """


class QuoteOfTranscript(TypedDict):
    start: float
    """
    Seconds into the source.
    """
    end: float
    """
    Seconds into the source.
    """
    text: str


RatingEnum: TypeAlias = Literal["up", "down"]


class ReplayRequest(TypedDict):
    """
    A range of time.
    """

    created_after: str
    """
    At this time or later.
    """
    created_before: str
    """
    Before this time.
    """


class Replayed(TypedDict):
    events: int
    """
    How many are sent again.
    """


ResolutionEnum: TypeAlias = Literal[480, 720, 1080, 1440, 2160]


ScopeEnum: TypeAlias = Literal["read", "write"]


ScopesEnum: TypeAlias = Literal["read", "write", "billing", "webhooks", "keys"]


SizeEnum: TypeAlias = Literal["small", "medium", "large"]


SnapEnum: TypeAlias = Literal["word", "sentence", "cut", "none"]


SubscriptionStatusEnum: TypeAlias = Literal["ACTIVE", "PAST_DUE", "ENDED"]


class TermsRequest(TypedDict):
    """
    The bounds that an order sets to its price.
    """

    max_credits: NotRequired[int]
    """
    What costs more is refused: 409 `max_credits_exceeded`.
    """
    quote_id: NotRequired[str]
    """
    It costs what the quote says, or is refused: 409 `quote_expired`, `quote_mismatch` or `quote_used`.
    """


TierEnum: TypeAlias = Literal["FREE", "STARTER", "PRO", "BUSINESS", "ENTERPRISE"]


class TierLimits(TypedDict):
    requests_per_minute: int
    """
    All requests, by their cost.
    """
    uploads_per_minute: int
    """
    New projects.
    """
    exports_per_minute: int
    """
    New and repeated exports.
    """
    concurrent_jobs: int
    """
    Analyses and exports that run at the same time. Also the share of the workers.
    """
    queued_jobs: int
    """
    Analyses and exports that wait beyond those.
    """
    max_source_seconds: int
    """
    Longest source video, in seconds.
    """
    max_resolution: int
    """
    Of exports: pixels of the shorter side.
    """
    watermark: bool
    """
    Exports may carry the customer's own image.
    """
    retention_days: int
    """
    Sources and finished files are kept this long.
    """
    storage_bytes: int
    """
    What sources and finished files may take together.
    """
    monthly_credits: int


TightenEnum: TypeAlias = Literal["off", "gentle", "hard"]


class Token(TypedDict):
    token: str
    """
    Sent as a key is. Shown once.
    """
    scope: str
    expires_at: str


class TokenRequestRequest(TypedDict):
    scope: NotRequired[ScopeEnum]
    """
    `read`: to look. `write`: also to upload, export, cancel and delete.
    """
    minutes: NotRequired[int]


TypeEnum: TypeAlias = Literal["GRANT", "PURCHASE", "SPEND", "REFUND", "ADJUST", "EXPIRE"]


class Upload(TypedDict):
    id: str
    name: str
    """
    The file name the client gave.
    """
    size: int
    """
    Bytes that it will have.
    """
    sha256: str | None
    """
    That it will have, if that was said.
    """
    offset: int
    """
    Bytes that are here. Of `tus` the next part begins there; of `s3` they are counted when addresses are asked for.
    """
    protocol: ProtocolEnum
    """
    How parts are sent: `tus`, by PATCH, or `s3`, by PUT to addresses that are asked for.
    """
    url: str
    """
    Where parts are sent to; of `s3`, where their addresses are asked for.
    """
    part_bytes: int
    """
    So many bytes a part at most.
    """
    project: str | None
    """
    That was made of it.
    """
    created_at: str
    expires_at: str


class UploadParts(TypedDict):
    received: list[int]
    """
    The numbers of the parts that are here.
    """
    missing: list[MissingPart]
    """
    The first 100 of those that are not. None: complete the upload.
    """


class UploadRequestRequest(TypedDict):
    name: str
    """
    Of the file.
    """
    size: int
    """
    Bytes.
    """
    sha256: NotRequired[str]
    """
    Of the whole file, in hexadecimal: another file is 422 `digest_mismatch` in the end.
    """


class UsageRow(TypedDict):
    group: str | None
    """
    The day; the prefix of the key, null for what no key ordered; or `project` for analyses and `export` for exports.
    """
    charges: int
    """
    Pieces of work that were charged.
    """
    spent: int
    """
    Credits that they took.
    """
    refunded: int
    """
    Credits that were given back.
    """
    credits: int
    """
    The difference.
    """


class Warning(TypedDict):
    """
    Something that is missing in a result that was made all the same.
    """

    code: str
    """
    Stable.
    """
    message: str
    """
    For people.
    """


class Watermark(TypedDict):
    id: str
    width: int
    """
    Pixels.
    """
    height: int
    """
    Pixels.
    """
    size: int
    """
    Bytes.
    """
    sha256: str
    created_at: str


WatermarkStylePositionEnum: TypeAlias = Literal[
    "top-left", "top-right", "bottom-left", "bottom-right"
]


class WatermarkStyleRequest(TypedDict):
    """
    The place of the organization's image in a clip.
    """

    position: NotRequired[WatermarkStylePositionEnum]
    """
    On the other side where captions are.
    """
    opacity: NotRequired[float]
    size: NotRequired[float]
    """
    Its longer side, as a share of the clip's shorter one.
    """


class WishesRequest(TypedDict):
    """
    What the moments should be like. All of it may be left out.
    """

    count: NotRequired[int]
    """
    So many moments at most, though they cover more than half of the source.
    """
    min_seconds: NotRequired[float]
    """
    Of each moment.
    """
    max_seconds: NotRequired[float]
    """
    Of each moment.
    """
    range: NotRequired[list[RangeItem]]
    """
    The stretch of the source in which they lie: start and end in seconds.
    """
    keywords: NotRequired[list[Keyword]]
    """
    Moments that speak of them rank higher.
    """
    kinds: NotRequired[list[KindsEnum]]
    """
    Only moments of these kinds.
    """
    language: NotRequired[str]
    """
    The language that is spoken, as ISO 639-1. Of an upload it is guessed where it is left out; where the speech model does not speak it, there is no transcript. Choosing again disregards the words of a transcript in another language.
    """


class Word(TypedDict):
    index: int
    """
    Its place in the whole transcript, from 0.
    """
    text: str
    """
    With its punctuation.
    """
    start: float
    """
    Seconds.
    """
    end: float
    """
    Seconds.
    """
    confidence: float
    """
    0 to 1; 1 when a person corrected it.
    """


class APIKey(TypedDict):
    id: str
    name: str
    prefix: str
    """
    The public part of the key.
    """
    scopes: list[ScopesEnum]
    """
    What it may do: each operation says which one it needs.
    """
    created_at: str
    last_used_at: str | None
    expires_at: str | None


class CaptionStyleRequest(TypedDict):
    """
    The look of captions.
    """

    position: NotRequired[CaptionStylePositionEnum]
    size: NotRequired[SizeEnum]
    color: NotRequired[str]
    """
    Of the text, `#rrggbb`.
    """
    highlight: NotRequired[str]
    """
    Of the spoken words, `#rrggbb`.
    """


class CreditsLowEvent(TypedDict):
    id: str
    type: Literal["credits.low"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: LowBalance


class Delivery(TypedDict):
    """
    One event for one endpoint.
    """

    id: str
    endpoint: str
    event: str
    """
    `webhook-id`.
    """
    event_type: str
    object_id: str
    sequence: int
    status: DeliveryStatusEnum
    tries: int
    next_try_at: str | None
    answer_status: int | None
    error: str | None
    created_at: str
    delivered_at: str | None


class DeliveryDetail(TypedDict):
    """
    A delivery with the body that is sent, and its 50 latest attempts.
    """

    id: str
    endpoint: str
    event: str
    """
    `webhook-id`.
    """
    event_type: str
    object_id: str
    sequence: int
    status: DeliveryStatusEnum
    tries: int
    next_try_at: str | None
    answer_status: int | None
    error: str | None
    created_at: str
    delivered_at: str | None
    body: str
    """
    In the version that the endpoint has now.
    """
    attempts: list[dict[str, Any]]


class EdgesRequest(TypedDict):
    """
    A stretch of the source, and to what its edges move.
    """

    start: float
    """
    Seconds into the source.
    """
    end: float
    """
    Seconds into the source.
    """
    snap: NotRequired[SnapEnum]
    """
    Move each edge, by 3 seconds at most, to where a word or a sentence begins or ends, or the shot changes.
    """
    title: NotRequired[str]


class EndpointCreateRequest(TypedDict):
    url: str
    """
    https, on the public internet.
    """
    description: NotRequired[str]
    event_types: NotRequired[list[EventTypesEnum]]
    """
    Of which it is told; empty, or left out: of all, also of those to come.
    """
    api_version: NotRequired[ApiVersionEnum]
    """
    Of the API: what it is told has this shape. Left out: that of the request.
    """


class ExportCreateRequest(TypedDict):
    """
    An export, and the bounds of its price.
    """

    moment: NotRequired[str]
    project: NotRequired[str]
    start: NotRequired[float]
    """
    Seconds.
    """
    end: NotRequired[float]
    """
    Seconds.
    """
    aspect: NotRequired[AspectEnum]
    resolution: NotRequired[ResolutionEnum]
    """
    Pixels of the shorter side; at most `max_resolution` of the tier.
    """
    layout: NotRequired[LayoutEnum]
    """
    How the picture is brought into the shape; nothing to do where it has that shape.
    """
    fps: NotRequired[FpsEnum | NullEnum]
    """
    Pictures a second at most. Null, and a rate above the source's: the source's.
    """
    format: NotRequired[FormatEnum]
    captions: NotRequired[CaptionsEnum]
    """
    Words drawn into the pictures. Needs a transcript.
    """
    caption_style: NotRequired[CaptionStyleRequest]
    tighten: NotRequired[TightenEnum]
    """
    Leaves out pauses, and with `hard` filler words too. Without a transcript it goes by the sound, and fillers stay.
    """
    watermark: NotRequired[WatermarkStyleRequest | None]
    """
    Lays the organization's image over the clip (`PUT /watermark`). Free.
    """
    max_credits: NotRequired[int]
    """
    What costs more is refused: 409 `max_credits_exceeded`.
    """
    quote_id: NotRequired[str]
    """
    It costs what the quote says, or is refused: 409 `quote_expired`, `quote_mismatch` or `quote_used`.
    """


class ExportOrderRequest(TypedDict):
    """
    An export: its range, and how it is made.
    """

    moment: NotRequired[str]
    project: NotRequired[str]
    start: NotRequired[float]
    """
    Seconds.
    """
    end: NotRequired[float]
    """
    Seconds.
    """
    aspect: NotRequired[AspectEnum]
    resolution: NotRequired[ResolutionEnum]
    """
    Pixels of the shorter side; at most `max_resolution` of the tier.
    """
    layout: NotRequired[LayoutEnum]
    """
    How the picture is brought into the shape; nothing to do where it has that shape.
    """
    fps: NotRequired[FpsEnum | NullEnum]
    """
    Pictures a second at most. Null, and a rate above the source's: the source's.
    """
    format: NotRequired[FormatEnum]
    captions: NotRequired[CaptionsEnum]
    """
    Words drawn into the pictures. Needs a transcript.
    """
    caption_style: NotRequired[CaptionStyleRequest]
    tighten: NotRequired[TightenEnum]
    """
    Leaves out pauses, and with `hard` filler words too. Without a transcript it goes by the sound, and fillers stay.
    """
    watermark: NotRequired[WatermarkStyleRequest | None]
    """
    Lays the organization's image over the clip (`PUT /watermark`). Free.
    """


class FoundTranscript(TypedDict):
    project: str
    title: str
    """
    Of the project.
    """
    language: str
    """
    ISO 639-1.
    """
    quotes: list[QuoteOfTranscript]
    """
    Up to three sentences.
    """


class FoundTranscripts(TypedDict):
    results: list[FoundTranscript]
    more: bool
    """
    Older projects have them too.
    """


class Hold(TypedDict):
    id: str
    status: HoldStatusEnum
    amount: int
    captured: int
    """
    Spent at the end; the rest went back.
    """
    reason: str
    reference_type: str | None
    reference_id: str | None
    unit_price: int | None
    """
    Credits per unit.
    """
    price_version: str | None
    inputs: Inputs
    """
    The numbers of the price: what was measured, and what is counted of it.
    """
    created_at: str
    expires_at: str
    resolved_at: str | None


class Key(TypedDict):
    """
    A key of the organization. Its text is not in it: that is shown once.
    """

    id: str
    name: str
    prefix: str
    """
    The public part of the key.
    """
    mode: str
    """
    `live`, or `test` for one of the sandbox.
    """
    scopes: list[ScopesEnum]
    """
    What it may do: each operation says which one it needs.
    """
    allowed_addresses: list[str]
    """
    Networks that it works from. Empty: from anywhere.
    """
    monthly_credit_cap: int | None
    """
    Credits a month (UTC). Null: no cap.
    """
    credits_used: int
    """
    In this month (UTC), by all keys that share its cap: reserved or charged, less what came back.
    """
    created_at: str
    created_by: str
    """
    The key that asked for it, or `support`.
    """
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None
    replaces: str | None
    """
    The key that was rotated into it.
    """


class KeyRequestRequest(TypedDict):
    name: str
    """
    What it is for.
    """
    mode: NotRequired[KeyRequestModeEnum]
    """
    `test`: a key of the sandbox, which is made with the first. Else as the key that asks.
    """
    scopes: NotRequired[list[ScopesEnum]]
    """
    What it may do. Else as the key that asks.
    """
    allowed_addresses: NotRequired[list[AllowedAddress]]
    """
    Addresses and blocks, of IPv4 and IPv6. Else as the key that asks.
    """
    monthly_credit_cap: NotRequired[int]
    """
    Credits a month (UTC). Else as the key that asks, whose cap it then shares.
    """
    expires_at: NotRequired[str]
    """
    Else when the key that asks ends, if it does.
    """


class Keys(TypedDict):
    keys: list[Key]


class Moment(TypedDict):
    id: str
    project: str
    start: float
    """
    Seconds into the source.
    """
    end: float
    """
    Seconds into the source.
    """
    duration: float
    """
    Seconds.
    """
    title: str | None
    hook: str | None
    """
    Its first words, to quote.
    """
    kind: str | None
    """
    talk, action or music.
    """
    score: float
    """
    0 to 100.
    """
    subscores: dict[str, float]
    """
    What the score is made of: aspects by name, 0 to 100 each.
    """
    reason: str
    """
    Why, in a sentence.
    """
    scorer_version: str
    origin: OriginEnum
    pinned: bool
    """
    Choosing again leaves it as it is.
    """
    rating: str | None
    """
    up or down.
    """


class NewKey(TypedDict):
    """
    A key with its text, which is shown this once.
    """

    id: str
    name: str
    prefix: str
    """
    The public part of the key.
    """
    mode: str
    """
    `live`, or `test` for one of the sandbox.
    """
    scopes: list[ScopesEnum]
    """
    What it may do: each operation says which one it needs.
    """
    allowed_addresses: list[str]
    """
    Networks that it works from. Empty: from anywhere.
    """
    monthly_credit_cap: int | None
    """
    Credits a month (UTC). Null: no cap.
    """
    credits_used: int
    """
    In this month (UTC), by all keys that share its cap: reserved or charged, less what came back.
    """
    created_at: str
    created_by: str
    """
    The key that asked for it, or `support`.
    """
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None
    replaces: str | None
    """
    The key that was rotated into it.
    """
    key: str
    """
    Sent as `Authorization: Bearer …`.
    """


class Organization(TypedDict):
    id: str
    name: str
    slug: str
    tier: TierEnum
    created_at: str


class PaginatedDeliveryList(TypedDict):
    results: list[Delivery]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PaginatedHoldList(TypedDict):
    results: list[Hold]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PaginatedKeyList(TypedDict):
    results: list[Key]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PaginatedMomentList(TypedDict):
    results: list[Moment]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PatchedKeyLimitsRequest(TypedDict):
    scopes: NotRequired[list[ScopesEnum]]
    """
    What it may do. Its tokens that may do more end at once.
    """
    allowed_addresses: NotRequired[list[AllowedAddress]]
    """
    Addresses and blocks, of IPv4 and IPv6. Empty: from anywhere.
    """
    monthly_credit_cap: NotRequired[int | None]
    """
    Credits a month (UTC), of all keys that share its cap. Null: no cap.
    """


class PatchedMomentUpdateRequest(TypedDict):
    """
    Whatever is left out stays as it is; `snap` alone moves the edges that are there.
    """

    start: NotRequired[float]
    """
    Seconds into the source.
    """
    end: NotRequired[float]
    """
    Seconds into the source.
    """
    snap: NotRequired[SnapEnum]
    title: NotRequired[str]
    pinned: NotRequired[bool]
    """
    Choosing again leaves it as it is.
    """
    rating: NotRequired[RatingEnum | NullEnum]
    """
    up or down; null takes it back.
    """


class Payment(TypedDict):
    id: str
    status: PaymentStatusEnum
    method: MethodEnum
    price: str
    amount: int
    """
    In minor units of the currency.
    """
    currency: str
    credits: int
    """
    What it brings.
    """
    reversed_amount: int
    """
    Refunded or disputed, of the amount.
    """
    reference: str | None
    """
    Of a bank transfer.
    """
    created_at: str
    paid_at: str | None


class PaymentFailedEvent(TypedDict):
    id: str
    type: Literal["payment.failed"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Payment


class PaymentRefundedEvent(TypedDict):
    id: str
    type: Literal["payment.refunded"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Payment


class PaymentSucceededEvent(TypedDict):
    id: str
    type: Literal["payment.succeeded"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Payment


class Project(TypedDict):
    id: str
    title: str
    external_id: str | None
    """
    Your own id of it; no two have the same.
    """
    metadata: dict[str, str]
    """
    Up to 20 texts of your own, by name: 40 and 500 characters.
    """
    status: ProjectStatusEnum
    stage: str | None
    progress: float
    """
    0 to 1, within the stage.
    """
    queue_position: int | None
    """
    1 is next; null when it is not waiting. Only on a single project.
    """
    expected_start_at: str | None
    """
    When its turn comes if workers go on as they did lately; null when it is not waiting, and where that is not known. Not in lists.
    """
    error: Failure | None
    credits: Credits
    source_name: str
    """
    The file name the client gave.
    """
    size: int
    """
    Bytes.
    """
    duration: float
    """
    Seconds.
    """
    width: int
    """
    Pixels, as shown.
    """
    height: int
    """
    Pixels, as shown.
    """
    has_audio: bool
    audio_track: int | None
    """
    The sound track to use, counted from 0; empty: the one that people hear.
    """
    warnings: list[Warning]
    """
    What is missing in the source.
    """
    attempts: int
    created_at: str
    updated_at: str
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    """
    When the source is deleted: the tier's retention.
    """


class ProjectCancelledEvent(TypedDict):
    id: str
    type: Literal["project.cancelled"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Project


class ProjectEmptyEvent(TypedDict):
    id: str
    type: Literal["project.empty"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Project


class ProjectEndingEvent(TypedDict):
    id: str
    type: Literal["project.ending"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Project


class ProjectExpiringEvent(TypedDict):
    id: str
    type: Literal["project.expiring"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Project


class ProjectFailedEvent(TypedDict):
    id: str
    type: Literal["project.failed"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Project


class ProjectReadyEvent(TypedDict):
    id: str
    type: Literal["project.ready"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Project


class Quote(TypedDict):
    id: str
    """
    For `quote_id`, where the work is ordered.
    """
    credits: int
    """
    What it would cost.
    """
    lines: list[QuoteLine]
    """
    Each pays for one piece of work.
    """
    expires_at: str
    """
    Until then the prices hold.
    """
    price_version: str
    available: int
    """
    Credits that can be spent now.
    """
    affordable: bool


class QuotedExportRequest(TypedDict):
    seconds: float
    """
    Of the clip.
    """
    resolution: NotRequired[ResolutionEnum]


class Sentence(TypedDict):
    start: float
    """
    Seconds.
    """
    end: float
    """
    Seconds.
    """
    text: str
    words: list[Word]


class Subscription(TypedDict):
    id: str
    status: SubscriptionStatusEnum
    method: MethodEnum
    plan: str
    tier: str
    period_start: str
    period_end: str
    cancel_at_period_end: bool


class Transaction(TypedDict):
    id: int
    type: TypeEnum
    amount: int
    balance_after: int
    hold_id: str | None
    reason: str
    reference_type: str | None
    reference_id: str | None
    unit_price: int | None
    """
    Credits per unit.
    """
    price_version: str | None
    inputs: Inputs
    """
    The numbers of the price: what was measured, and what is counted of it.
    """
    created_at: str


class Transcript(TypedDict):
    language: str
    """
    ISO 639-1.
    """
    model: str
    """
    The speech model that wrote it, with its version.
    """
    start: float
    """
    Where the range begins in the source. Seconds.
    """
    end: float
    """
    Where the range ends in the source. Seconds.
    """
    corrected_at: str | None
    """
    When a word was last corrected; null if never.
    """
    sentences: list[Sentence]


Usage = TypedDict(
    "Usage",
    {
        "from": str,
        "to": str,
        "group_by": GroupByEnum,
        "rows": list[UsageRow],
        "charges": int,
        "spent": int,
        "refunded": int,
        "credits": int,
    },
)


class WatermarkStyle(TypedDict):
    """
    The place of the organization's image in a clip.
    """

    position: NotRequired[WatermarkStylePositionEnum]
    """
    On the other side where captions are.
    """
    opacity: NotRequired[float]
    size: NotRequired[float]
    """
    Its longer side, as a share of the clip's shorter one.
    """


class Chosen(TypedDict):
    results: list[Moment]
    """
    The newly chosen moments, best first.
    """


class CurrentSubscription(TypedDict):
    subscription: Subscription | None
    """
    Null without a paid plan.
    """


class Export(TypedDict):
    id: str
    project: str
    moment: str | None
    status: ExportStatusEnum
    stage: str | None
    progress: float
    """
    0 to 1, within the stage.
    """
    queue_position: int | None
    """
    1 is next; null when it is not waiting. Only on a single export.
    """
    expected_start_at: str | None
    """
    When its turn comes if workers go on as they did lately; null when it is not waiting, and where that is not known. Not in lists.
    """
    error: Failure | None
    credits: Credits
    start: float
    """
    Seconds into the source.
    """
    end: float
    """
    Seconds into the source.
    """
    aspect: AspectEnum
    resolution: ResolutionEnum
    """
    Pixels of the shorter side.
    """
    layout: LayoutEnum
    """
    How the picture is brought into the shape.
    """
    fps: FpsEnum | NullEnum
    """
    Pictures a second at most; empty: as many as the source has.
    """
    format: FormatEnum
    captions: CaptionsEnum
    """
    How the words are drawn into the pictures.
    """
    caption_style: CaptionStyle | None
    """
    The look of captions; null without them.
    """
    tighten: TightenEnum
    watermark: WatermarkStyle | None
    """
    Of the organization's image; null without it.
    """
    size: int | None
    """
    Bytes.
    """
    duration: float | None
    """
    Seconds.
    """
    width: int | None
    height: int | None
    sha256: str | None
    warnings: list[Warning]
    """
    What is missing in the clip.
    """
    attempts: int
    created_at: str
    updated_at: str
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    """
    When the file is deleted: the tier's retention.
    """
    pinned: bool
    """
    Kept while the organization pays for its tier.
    """
    renewable_until: str | None
    """
    When the source is deleted: until then the same can be exported again. Null once it is gone. Only on a single export.
    """
    download_url: str | None
    """
    Of the file, for anybody who has it, until `download_expires_at`; null without a file.
    """
    download_expires_at: str | None
    """
    When `download_url` ends; the export has a new one before.
    """
    duplicate_of: str | None


class ExportBatchRequest(TypedDict):
    """
    The bounds that an order sets to its price.
    """

    max_credits: NotRequired[int]
    """
    What costs more is refused: 409 `max_credits_exceeded`.
    """
    quote_id: NotRequired[str]
    """
    It costs what the quote says, or is refused: 409 `quote_expired`, `quote_mismatch` or `quote_used`.
    """
    mode: ExportBatchModeEnum
    """
    `all_or_nothing`, or `per_item`: what cannot be ordered keeps nothing else back.
    """
    exports: list[ExportOrderRequest]


class ExportCancelledEvent(TypedDict):
    id: str
    type: Literal["export.cancelled"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Export


class ExportEndingEvent(TypedDict):
    id: str
    type: Literal["export.ending"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Export


class ExportExpiringEvent(TypedDict):
    id: str
    type: Literal["export.expiring"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Export


class ExportFailedEvent(TypedDict):
    id: str
    type: Literal["export.failed"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Export


class ExportReadyEvent(TypedDict):
    id: str
    type: Literal["export.ready"]
    timestamp: str
    """
    When it happened.
    """
    object_type: str
    object_id: str
    sequence: int
    """
    Of the events of this object: 1, 2, 3 …
    """
    data: Export


class ExportResult(TypedDict):
    index: int
    """
    Of the order in the batch, from 0.
    """
    status: int
    """
    As `POST /exports` would have answered.
    """
    export: Export | None
    problem: Problem | None
    """
    With pointers into the batch.
    """


class FirstExports(TypedDict):
    results: list[Export]
    next: str | None
    next_cursor: str | None
    """
    For the list; null where there are no more.
    """


class FirstMoments(TypedDict):
    results: list[Moment]
    next: str | None
    next_cursor: str | None
    """
    For the list; null where there are no more.
    """


class Me(TypedDict):
    organization: Organization
    limits: TierLimits
    stored_bytes: int
    """
    What the sources, finished files and their pictures take, of `storage_bytes`.
    """
    api_key: APIKey


class PaginatedExportList(TypedDict):
    results: list[Export]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PaginatedPaymentList(TypedDict):
    results: list[Payment]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PaginatedProjectList(TypedDict):
    results: list[Project]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class PaginatedTransactionList(TypedDict):
    results: list[Transaction]
    next: str | None
    next_cursor: str | None
    """
    Pass as `cursor` to get the next page; null on the last one.
    """


class ProjectDetail(TypedDict):
    id: str
    title: str
    external_id: str | None
    """
    Your own id of it; no two have the same.
    """
    metadata: dict[str, str]
    """
    Up to 20 texts of your own, by name: 40 and 500 characters.
    """
    status: ProjectStatusEnum
    stage: str | None
    progress: float
    """
    0 to 1, within the stage.
    """
    queue_position: int | None
    """
    1 is next; null when it is not waiting. Only on a single project.
    """
    expected_start_at: str | None
    """
    When its turn comes if workers go on as they did lately; null when it is not waiting, and where that is not known. Not in lists.
    """
    error: Failure | None
    credits: Credits
    source_name: str
    """
    The file name the client gave.
    """
    size: int
    """
    Bytes.
    """
    duration: float
    """
    Seconds.
    """
    width: int
    """
    Pixels, as shown.
    """
    height: int
    """
    Pixels, as shown.
    """
    has_audio: bool
    audio_track: int | None
    """
    The sound track to use, counted from 0; empty: the one that people hear.
    """
    warnings: list[Warning]
    """
    What is missing in the source.
    """
    attempts: int
    created_at: str
    updated_at: str
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    """
    When the source is deleted: the tier's retention.
    """
    exports: NotRequired[FirstExports]
    """
    The first 50, with `expand=exports`.
    """
    moments: NotRequired[FirstMoments]
    """
    The first 50, with `expand=moments`.
    """


class QuoteRequestRequest(TypedDict):
    """
    An analysis of so many seconds of source, the export of a range, of many, or all of these.
    """

    analysis_seconds: NotRequired[float]
    """
    Length of the source.
    """
    export_seconds: NotRequired[float]
    """
    Length of the clip.
    """
    resolution: NotRequired[ResolutionEnum]
    """
    Of the clip. Above 1080, a clip costs more.
    """
    exports: NotRequired[list[QuotedExportRequest]]
    """
    Clips, for a batch.
    """


class Statement(TypedDict):
    month: str
    """
    As it was asked for: 2026-11.
    """
    opening: int
    """
    Credits when the month began.
    """
    rows: list[Transaction]
    closing: int
    """
    The opening plus the amounts of the rows.
    """


class ExportBatchResult(TypedDict):
    results: list[ExportResult]
    """
    In the order of the batch.
    """
    created: int
    refused: int
    credits: int
    """
    Reserved for all of them.
    """


WebhookEvent: TypeAlias = (
    EndpointTestEvent
    | ProjectReadyEvent
    | ProjectEmptyEvent
    | ProjectFailedEvent
    | ProjectCancelledEvent
    | ProjectEndingEvent
    | ProjectExpiringEvent
    | ExportReadyEvent
    | ExportFailedEvent
    | ExportCancelledEvent
    | ExportEndingEvent
    | ExportExpiringEvent
    | CreditsLowEvent
    | PaymentSucceededEvent
    | PaymentFailedEvent
    | PaymentRefundedEvent
)
