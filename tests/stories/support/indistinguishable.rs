//! Two responses that nobody can tell apart. Time is not measured here: stories
//! compare the work instead, and `load timing` (tests/load) times the pairs and compares their AUC.

use super::browser::Answer;

/// Differs between any two answers.
const OWN: [&str; 2] = ["date", "x-request-id"];

impl Answer {
    /// Everything a stranger sees of an answer, with IDs, tokens, cookies and `values` masked. Addresses that are
    /// compared should have the same length.
    pub(crate) fn face(&self, values: &[&str]) -> String {
        let mut lines = vec![self.status.to_string()];
        for (name, value) in &self.headers {
            let value = value.to_str().unwrap();
            let masked = match name.as_str() {
                "set-cookie" => {
                    let (name, rest) = value.split_once('=').unwrap();
                    format!("{name}={}", rest.split_once(';').map_or("", |(_, attributes)| attributes))
                }
                _ => value.to_owned(),
            };
            lines.extend((!OWN.contains(&name.as_str())).then(|| format!("{name}: {masked}")));
        }
        lines.sort();
        let mut face = format!("{}\n{}", lines.join("\n"), self.body);
        let tokens = self.body.split("name=\"csrf\" value=\"").skip(1);
        let tokens: Vec<String> = tokens.map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
        // Values appear as they are, and encoded in links.
        let encoded =
            values.iter().map(|value| url::form_urlencoded::byte_serialize(value.as_bytes()).collect());
        let masked: Vec<String> =
            encoded.chain(tokens).chain(values.iter().map(ToString::to_string)).collect();
        for value in masked {
            face = face.replace(&value, "…");
        }
        without_ids(&face)
    }
}

/// All these faces are the same.
#[track_caller]
pub(crate) fn assert_alike(faces: &[String]) {
    for (number, face) in faces.iter().enumerate() {
        let differs = |(line, first): &(&str, &str)| line != first;
        if let Some((line, first)) = face.lines().zip(faces[0].lines()).find(differs) {
            panic!("answer {number} says\n{line}\nand the first says\n{first}");
        }
        assert_eq!(face.len(), faces[0].len(), "answer {number}");
    }
}

/// The text with every UUID masked.
fn without_ids(text: &str) -> String {
    let shaped = |window: &[u8]| {
        window.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let (bytes, mut masked, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        match bytes.get(at..at + 36) {
            Some(window) if shaped(window) => {
                masked.extend(b"ID");
                at += 36;
            }
            _ => {
                masked.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(masked).unwrap()
}
