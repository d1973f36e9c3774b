//! Static files. They are compiled in, and served under a name that contains their digest, so that browsers may cache
//! them for a year.

use std::collections::HashMap;

use axum::http::HeaderValue;
use bytes::Bytes;
use idp_core::secret::Digest;
use rust_embed::RustEmbed;
use serde::Serialize;

#[derive(RustEmbed)]
#[folder = "static"]
struct Files;

/// One file, ready to be sent.
pub(crate) struct Asset {
    pub(crate) content_type: HeaderValue,
    pub(crate) body: Bytes,
}

/// The URLs that pages use.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AssetUrls {
    css: String,
    js: String,
    logo: String,
}

/// All files, by the name under which they are served.
pub(crate) struct Assets {
    files: HashMap<String, Asset>,
    pub(crate) urls: AssetUrls,
}

impl Assets {
    /// Loads the files and names each by its content.
    pub(crate) fn load() -> Self {
        let mut files = HashMap::new();
        let mut add = |name: &str, content_type: &'static str| {
            let data = Files::get(name).map(|file| file.data.into_owned()).unwrap_or_default();
            let served = served_name(name, &data);
            let content_type = HeaderValue::from_static(content_type);
            files.insert(served.clone(), Asset { content_type, body: data.into() });
            format!("/static/{served}")
        };
        let urls = AssetUrls {
            css: add("app.css", "text/css; charset=utf-8"),
            js: add("app.js", "text/javascript; charset=utf-8"),
            logo: add("logo.svg", "image/svg+xml"),
        };
        Self { files, urls }
    }

    /// The file with this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Asset> {
        self.files.get(name)
    }
}

/// `app.css` becomes `app.<first 12 characters of its digest>.css`.
fn served_name(name: &str, data: &[u8]) -> String {
    let digest = Digest::of(&String::from_utf8_lossy(data));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    format!("{stem}.{}.{extension}", &digest.as_str()[..12])
}
