//! Uploads (rest.md §2.8): the file comes back as a data URI, which blocks read.
//!
//! A file is never in memory as a whole: small ones are kept there, larger ones in the directory for temporary files, and the
//! answer is encoded while it is sent.

use std::io::{self, Read, Seek, SeekFrom, Write};

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use runtime::Settings;
use runtime::serve::TooSlow;
use serde_json::{Value, json};
use tempfile::SpooledTempFile;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::shape::Problem;
use crate::wire::{ApiError, ApiResult, Parameters};

/// Larger files leave the memory. What the frontend can send stays below (rest.md trap 6).
const IN_MEMORY: usize = 16 << 20;
/// Bytes that are encoded at once. A multiple of three: so the pieces of base64 make one text.
const PIECE: usize = 48 * 1024;
const LONGEST_HOURS: i64 = 48;
const DEFAULT_HOURS: i64 = 24;
const OCTETS: &str = "application/octet-stream";

/// The query, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct UploadQuery {
    #[param(default = "gcs")]
    provider: Option<String>,
    #[param(default = 24)]
    expiration_hours: Option<i64>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    // The size is checked piece by piece.
    OpenApiRouter::new().routes(routes!(upload)).layer(DefaultBodyLimit::disable())
}

#[utoipa::path(
    post, path = "/api/files/upload",
    operation_id = "postV1Upload file to cloud storage", tags = ["v1", "files"],
    params(UploadQuery),
    request_body(content = schemas::Body_postV1Upload_file_to_cloud_storage, content_type = "multipart/form-data"),
    responses((status = 200, body = schemas::UploadFileResponse), (status = 507)),
)]
pub async fn upload(
    _user: CurrentUser,
    State(settings): State<Settings>,
    parameters: Parameters,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> ApiResult<Response> {
    let hours = parameters.integer("expiration_hours")?.unwrap_or(DEFAULT_HOURS);
    if !(1..=LONGEST_HOURS).contains(&hours) {
        return Err(ApiError::value(format!("Expiration hours must be between 1 and {LONGEST_HOURS}")));
    }
    let mut form = form.map_err(|rejection| missing_file(&rejection.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(|error| unreadable(&error))? {
        if field.name() == Some("file") {
            return receive(field, settings.upload_file_size_limit_mb, hours).await;
        }
    }
    Err(missing_file("Field required"))
}

async fn receive(field: Field<'_>, limit_mb: u64, hours: i64) -> ApiResult<Response> {
    let file_name = field.file_name().filter(|name| !name.is_empty()).unwrap_or("uploaded_file").to_owned();
    let content_type = content_type(field.content_type());
    let too_large = || ApiError::value(format!("File size exceeds the maximum allowed size of {limit_mb}MB"));
    let (file, size) = spool(field, IN_MEMORY, limit_mb.saturating_mul(1 << 20), too_large).await?;
    let head = json!({
        "file_name": file_name,
        "size": size,
        "content_type": content_type,
        "expires_in_hours": hours,
        "file_uri": format!("data:{content_type};base64,"),
    });
    // The text of the URI goes on where the head ends.
    let head = head.to_string();
    let head = head
        .strip_suffix("\"}")
        .map(str::to_owned)
        .ok_or_else(|| ApiError::internal("the answer's head"))?;
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(encoded(head, file))).into_response())
}

/// A file of at most `limit` bytes, at its beginning, and its size; what is larger than `in_memory` is on the disk.
pub async fn spool(mut field: Field<'_>, in_memory: usize, limit: u64, too_large: impl Fn() -> ApiError) -> ApiResult<(SpooledTempFile, u64)> {
    let mut file = SpooledTempFile::new(in_memory);
    let mut size: u64 = 0;
    while let Some(piece) = field.chunk().await.map_err(|error| unreadable(&error))? {
        size = size.saturating_add(piece.len() as u64);
        if size > limit {
            return Err(too_large());
        }
        file = write(file, piece).await.map_err(|error| no_room(&error))?;
    }
    let file = rewound(file).await.map_err(|error| no_room(&error))?;
    Ok((file, size))
}

/// All that is in a file from where it stands.
pub async fn content(mut file: SpooledTempFile) -> ApiResult<Vec<u8>> {
    let read = blocking(move || {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    read.await.map_err(ApiError::internal)
}

async fn write(mut file: SpooledTempFile, piece: Bytes) -> io::Result<SpooledTempFile> {
    blocking(move || file.write_all(&piece).map(|()| file)).await
}

async fn rewound(mut file: SpooledTempFile) -> io::Result<SpooledTempFile> {
    blocking(move || file.seek(SeekFrom::Start(0)).map(|_| file)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What is sent after what.
enum Next {
    Head(String, SpooledTempFile),
    Content(SpooledTempFile),
    Nothing,
}

fn encoded(head: String, file: SpooledTempFile) -> impl futures::Stream<Item = io::Result<Bytes>> {
    futures::stream::try_unfold(Next::Head(head, file), |next| async {
        Ok(match next {
            Next::Head(head, file) => Some((Bytes::from(head), Next::Content(file))),
            Next::Content(mut file) => {
                let (file, text) = blocking(move || {
                    let mut piece = Vec::with_capacity(PIECE);
                    (&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
                    Ok((file, STANDARD.encode(piece)))
                })
                .await?;
                Some(if text.is_empty() {
                    (Bytes::from_static(b"\"}"), Next::Nothing)
                } else {
                    (Bytes::from(text), Next::Content(file))
                })
            }
            Next::Nothing => None,
        })
    })
}

/// Without parameters, and only of characters that cannot end the URI's head.
fn content_type(given: Option<&str>) -> String {
    let essence = given.unwrap_or(OCTETS).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '/' | '.' | '+' | '-' | '_');
    if essence.contains('/') && essence.chars().all(fits) {
        essence
    } else {
        OCTETS.to_owned()
    }
}

pub fn missing_file(msg: &str) -> ApiError {
    Problem::new("missing", &["body", "file"], msg, Value::Null).into()
}

pub fn unreadable(error: &MultipartError) -> ApiError {
    if TooSlow::caused(error) {
        return ApiError::detail(StatusCode::REQUEST_TIMEOUT, TooSlow.to_string());
    }
    ApiError::detail(StatusCode::BAD_REQUEST, format!("The form cannot be read: {}", error.body_text()))
}

fn no_room(error: &io::Error) -> ApiError {
    tracing::error!(%error, "an upload could not be kept");
    ApiError::Generic(
        StatusCode::INSUFFICIENT_STORAGE,
        "The server has no room for a file of this size: its directory for temporary files cannot be written".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::content_type;

    #[test]
    fn a_content_type_cannot_say_more_than_it_is() {
        assert_eq!(content_type(Some("text/plain; charset=utf-8")), "text/plain");
        assert_eq!(content_type(Some("image/svg+xml")), "image/svg+xml");
        assert_eq!(content_type(Some("text/plain,evil")), "application/octet-stream");
        assert_eq!(content_type(Some("text")), "application/octet-stream");
        assert_eq!(content_type(None), "application/octet-stream");
    }
}
