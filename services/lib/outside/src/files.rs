//! The folder of a run: files that its blocks hand to each other (blocks-local.md, `file` values).

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use runtime::settings::BlockSettings;
use uuid::Uuid;

use crate::web::{Web, WebError, WebRequest, read_url};

/// Bytes of one file.
const MAX_FILE: usize = 100 << 20;
/// Bytes of all files of a run.
const MAX_FOLDER: u64 = 1 << 30;
/// What stands without a type.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Media types by extension; the first extension of a type names new files.
const TYPES: &[(&str, &str)] = &[
    ("txt", "text/plain"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css"),
    ("md", "text/markdown"),
    ("xml", "text/xml"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xls", "application/vnd.ms-excel"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("svg", "image/svg+xml"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("bin", UNKNOWN_TYPE),
];

/// The folders of runs on this machine.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    /// Runs that have a folder which this process made: most runs have none, and their end must cost nothing.
    used: Arc<Mutex<HashSet<Uuid>>>,
}

/// A file of a run.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// Relative to the folder of its run, valid only inside that run.
    pub name: String,
    pub content: Vec<u8>,
}

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the data URI cannot be read: {0}")]
    DataUri(&'static str),
    #[error("{0} is in a cloud storage, and none is configured; use a URL or a data URI")]
    Cloud(String),
    #[error("{0:?} is no name of a file inside the folder of the run")]
    Outside(String),
    #[error("there is no file {0:?} in the folder of this run on this executor")]
    Missing(String),
    #[error("the file is larger than {MAX_FILE} bytes")]
    TooLarge,
    #[error("the files of the run are larger than {MAX_FOLDER} bytes together")]
    FolderFull,
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error(transparent)]
    Web(#[from] WebError),
    #[error("the folder of the run cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl Files {
    pub fn new(settings: &BlockSettings) -> Self {
        let base = settings.files_dir.as_ref().map_or_else(std::env::temp_dir, PathBuf::from);
        Self {
            root: base.join("exec_file"),
            used: Arc::default(),
        }
    }

    fn folder(&self, run: Uuid) -> PathBuf {
        self.root.join(run.to_string())
    }

    /// Takes in what a `file` value names: a data URI, a URL, or a file that the run has already.
    pub async fn take_in(&self, run: Uuid, source: &str, web: &Web) -> Result<StoredFile, FileError> {
        if let Some(uri) = source.strip_prefix("data:") {
            let (media_type, content) = parse_data_uri(uri)?;
            let extension = extension_of(&media_type);
            return self.keep(run, &format!("{}.{extension}", Uuid::new_v4()), content).await;
        }
        if source.starts_with("gcs://") {
            return Err(FileError::Cloud(source.to_owned()));
        }
        if source.starts_with("http://") || source.starts_with("https://") {
            let url = read_url(source)?;
            let reply = web.send(WebRequest::get(url.clone())).await?;
            if !reply.status.is_success() {
                return Err(FileError::Status {
                    url: url.to_string(),
                    status: reply.status.as_u16(),
                });
            }
            let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
            let name = if last.is_empty() { "file" } else { last };
            return self.keep(run, name, reply.body.to_vec()).await;
        }
        self.read(run, source).await
    }

    /// A file that the run has.
    pub async fn read(&self, run: Uuid, name: &str) -> Result<StoredFile, FileError> {
        let folder = self.folder(run);
        let path = folder.join(inside(name)?);
        let missing = |_| FileError::Missing(name.to_owned());
        // A link must not lead out either.
        let real = tokio::fs::canonicalize(&path).await.map_err(missing)?;
        if !real.starts_with(tokio::fs::canonicalize(&folder).await.map_err(missing)?) {
            return Err(FileError::Outside(name.to_owned()));
        }
        let facts = tokio::fs::metadata(&real).await.map_err(missing)?;
        if !facts.is_file() {
            return Err(FileError::Missing(name.to_owned()));
        }
        if facts.len() > MAX_FILE as u64 {
            return Err(FileError::TooLarge);
        }
        Ok(StoredFile {
            name: name.to_owned(),
            content: tokio::fs::read(&real).await?,
        })
    }

    async fn keep(&self, run: Uuid, name: &str, content: Vec<u8>) -> Result<StoredFile, FileError> {
        let relative = inside(name)?;
        if content.len() > MAX_FILE {
            return Err(FileError::TooLarge);
        }
        let folder = self.folder(run);
        self.used().insert(run);
        tokio::fs::create_dir_all(&folder).await?;
        if used(&folder).await? + content.len() as u64 > MAX_FOLDER {
            return Err(FileError::FolderFull);
        }
        tokio::fs::write(folder.join(relative), &content).await?;
        Ok(StoredFile {
            name: name.to_owned(),
            content,
        })
    }

    /// Drops the folder of a run that has ended.
    pub async fn forget(&self, run: Uuid) {
        if self.used().remove(&run) {
            self.remove(run).await;
        }
    }

    fn used(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remove(&self, run: Uuid) {
        if let Err(error) = tokio::fs::remove_dir_all(self.folder(run)).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, graph_exec_id = %run, "the folder of a run cannot be removed");
        }
    }

    /// Drops the folders of runs that have not been touched for so long: they have ended elsewhere.
    pub async fn forget_older(&self, age: Duration) -> std::io::Result<()> {
        let mut folders = match tokio::fs::read_dir(&self.root).await {
            Ok(folders) => folders,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        while let Some(folder) = folders.next_entry().await? {
            let Some(run) = folder.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let touched = folder.metadata().await?.modified()?;
            if SystemTime::now().duration_since(touched).is_ok_and(|idle| idle > age) {
                self.remove(run).await;
            }
        }
        Ok(())
    }
}

impl StoredFile {
    /// By its name.
    pub fn media_type(&self) -> &'static str {
        type_of(&self.name)
    }

    /// The whole file as a data URI.
    pub fn to_data_uri(&self) -> String {
        format!("data:{};base64,{}", self.media_type(), STANDARD.encode(&self.content))
    }
}

async fn used(folder: &Path) -> std::io::Result<u64> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    let mut bytes = 0;
    while let Some(entry) = entries.next_entry().await? {
        bytes += entry.metadata().await?.len();
    }
    Ok(bytes)
}

/// A name as a path that cannot leave its folder.
fn inside(name: &str) -> Result<&Path, FileError> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || name.contains('\0') || !plain {
        return Err(FileError::Outside(name.to_owned()));
    }
    Ok(path)
}

/// What follows `data:`, as type and content. Only base64 is taken; what is no letter of it is skipped, as the reference does.
fn parse_data_uri(uri: &str) -> Result<(String, Vec<u8>), FileError> {
    let (head, encoded) = uri.split_once(',').ok_or(FileError::DataUri("there is no comma in it"))?;
    let media_type = head
        .strip_suffix(";base64")
        .ok_or(FileError::DataUri("only base64 is understood: data:TYPE;base64,CONTENT"))?;
    if encoded.len() / 4 * 3 > MAX_FILE + 3 {
        return Err(FileError::TooLarge);
    }
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let letters: Vec<u8> = encoded.bytes().filter(is_letter).collect();
    let content = STANDARD.decode(letters).map_err(|_| FileError::DataUri("its base64 is cut off"))?;
    let media_type = media_type.split(';').next().unwrap_or_default();
    let media_type = if media_type.is_empty() { UNKNOWN_TYPE } else { media_type };
    Ok((media_type.to_owned(), content))
}

fn extension_of(media_type: &str) -> &'static str {
    let known = TYPES.iter().find(|(_, known)| *known == media_type);
    known.map_or("bin", |(extension, _)| extension)
}

fn type_of(name: &str) -> &'static str {
    let extension = Path::new(name).extension().and_then(|text| text.to_str()).unwrap_or_default();
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    known.map_or(UNKNOWN_TYPE, |(_, media_type)| media_type)
}

#[cfg(test)]
mod tests {
    use super::{inside, parse_data_uri, type_of};

    #[test]
    fn names_stay_inside_their_folder() {
        for name in ["a.txt", "a/b.txt", "..a"] {
            assert!(inside(name).is_ok(), "{name}");
        }
        for name in ["", "..", "../a", "/etc/passwd", "a/../../b", "./a", "a\0b"] {
            assert!(inside(name).is_err(), "{name}");
        }
    }

    #[test]
    fn data_uris_are_read_leniently() {
        let read = |text| parse_data_uri(text).map_err(|error| error.to_string());
        assert_eq!(read("text/plain;base64,aGVsbG8=").unwrap(), ("text/plain".to_owned(), b"hello".to_vec()));
        assert_eq!(
            read("text/plain;charset=utf-8;base64,!!!").unwrap(),
            ("text/plain".to_owned(), Vec::new())
        );
        assert!(read("text/plain,hello").is_err() && read("text/plain;base64,a").is_err() && read("").is_err());
    }

    #[test]
    fn types_come_from_extensions() {
        assert_eq!((type_of("a.PNG"), type_of("a")), ("image/png", "application/octet-stream"));
    }
}
