//! Pictures and videos of submissions: kept by the platform itself, readable by everybody who has the address (rest.md §1 area 8).

use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use runtime::Settings;
use runtime::settings::AppEnv;
use store::Store;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::files::{content, missing_file, spool, unreadable};
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::{ApiError, ApiResult, id};

/// Bytes of one file, at most (rest.md §1 area 8).
const LARGEST: u64 = 50 << 20;
/// Bytes that are in memory while they are received, at most: anybody may send slowly, and many at once.
const IN_MEMORY: usize = 256 << 10;
/// Bytes of all files of one user, at most.
const QUOTA: i64 = 1 << 30;
/// Uploads that are in memory at once. None is while it is received: two that come slowly would hold up all others.
static TURNS: Semaphore = Semaphore::const_new(2);

pub fn routes() -> OpenApiRouter<AppState> {
    // The size is checked piece by piece.
    OpenApiRouter::new()
        .routes(routes!(upload))
        .layer(DefaultBodyLimit::disable())
        // Ours, so not in the document, which is the contract's.
        .route("/api/store/media/{media_id}", get(show))
}

/// Answers with the address. What the file is, its first bytes say.
#[utoipa::path(
    post, path = "/api/store/submissions/media",
    operation_id = "postV2Upload submission media", tags = ["v2", "store", "private"],
    request_body(content = schemas::Body_postV2Upload_submission_media, content_type = "multipart/form-data"),
    responses((status = 200, body = Value), (status = 507)),
)]
pub async fn upload(
    user: CurrentUser,
    State(store): State<Store>,
    State(settings): State<Settings>,
    form: Result<Multipart, MultipartRejection>,
) -> ApiResult<Json<String>> {
    let mut form = form.map_err(|rejection| missing_file(&rejection.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(|error| unreadable(&error))? {
        if field.name() != Some("file") {
            continue;
        }
        let declared = field.content_type().map(str::to_owned);
        let too_large = || ApiError::value(format!("File too large. Maximum size is {} MB", LARGEST >> 20));
        let (file, _) = spool(field, IN_MEMORY, LARGEST, too_large).await?;
        let _turn = TURNS.acquire().await.map_err(ApiError::internal)?;
        let bytes = content(file).await?;
        let content_type = judge(&bytes, declared.as_deref()).map_err(ApiError::value)?;
        let base = address_base(&settings)?;
        let kept = store.keep_media(user.id, content_type, &bytes, QUOTA).await?;
        let id = kept.ok_or_else(|| ApiError::value(format!("Your files would take more than the {} MB that you have", QUOTA >> 20)))?;
        return Ok(Json(format!("{base}/api/store/media/{id}")));
    }
    Err(missing_file("Field required"))
}

/// Where others reach what is kept here. In production nobody else is on this machine: the address must be told.
fn address_base(settings: &Settings) -> ApiResult<String> {
    if settings.platform_base_url.is_empty() && settings.app_env == AppEnv::Prod {
        let text = "PLATFORM_BASE_URL is not set: without it, uploads have no address that others can reach";
        return Err(ApiError::Generic(StatusCode::SERVICE_UNAVAILABLE, text.to_owned()));
    }
    Ok(crate::public_url(settings))
}

/// A file for whoever has its address. It never changes, and nothing in it is carried out.
pub async fn show(State(store): State<Store>, Path(media_id): Path<String>) -> ApiResult<Response> {
    let found = match id(&media_id) {
        Some(id) => store.get_media(id).await?,
        None => None,
    };
    let (content_type, bytes) = found.ok_or_else(|| ApiError::not_found(format!("Media #{media_id} not found")))?;
    let headers = [
        (CONTENT_TYPE, content_type.as_str()),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    Ok((headers, bytes).into_response())
}

/// The type of a file that may be kept; `declared` must not contradict it.
fn judge(bytes: &[u8], declared: Option<&str>) -> Result<&'static str, String> {
    const KINDS: &str = "JPEG, PNG, GIF and WebP pictures, MP4, QuickTime and WebM videos";
    let found = sniff(bytes).ok_or_else(|| format!("The file is none of the kinds that can be kept: {KINDS}"))?;
    let family = |name: &str| name.split('/').next().unwrap_or_default().trim().to_ascii_lowercase();
    match declared {
        Some(declared) if family(declared) != family(found) => Err(format!("The file is {found}, not {declared} as it says")),
        _ => Ok(found),
    }
}

fn sniff(bytes: &[u8]) -> Option<&'static str> {
    /// Major brands of files that players take for MP4.
    const MP4: [&[u8]; 11] = [
        b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"MSNV", b"dash",
    ];
    let at = |place: usize, mark: &[u8]| bytes.get(place..place + mark.len()) == Some(mark);
    if at(0, b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if at(0, b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
        Some("image/gif")
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        Some("image/webp")
    } else if at(4, b"ftypqt  ") {
        Some("video/quicktime")
    } else if at(4, b"ftyp") && MP4.iter().any(|brand| at(8, brand)) {
        Some("video/mp4")
    } else if at(0, b"\x1a\x45\xdf\xa3") {
        Some("video/webm")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn the_first_bytes_say_what_a_file_is() {
        let kinds: [(&[u8], &str); 7] = [
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x18ftypmp42", "video/mp4"),
            (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
            (b"\x1a\x45\xdf\xa3", "video/webm"),
        ];
        for (bytes, kind) in kinds {
            assert_eq!(judge(bytes, None), Ok(kind));
            assert_eq!(judge(bytes, Some(kind)), Ok(kind));
            assert!(judge(bytes, Some("text/html")).is_err());
        }
        for none in [&b""[..], b"<svg", b"<html>", b"GIF8", b"\0\0\0\x18ftypheic", b"RIFF\0\0\0\0WAVE"] {
            assert!(judge(none, Some("image/png")).is_err());
        }
        assert!(judge(b"GIF89a", Some("video/mp4")).is_err());
    }
}
