//! Renders every page and mail once, so that no variable and no text can be missing.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::http::assets::Assets;
use crate::http::errors::Reason;
use crate::http::html::{DevLinks, FieldError, Layout};
use crate::text::catalogue::LANGUAGE;
use crate::text::templates::Renderer;
use idp_store::MailKind;

/// The templates' values besides the layout; for most templates, in several states.
fn samples() -> Vec<(String, Map<String, Value>)> {
    let samples: Vec<Value> = serde_json::from_str(include_str!("samples.json")).unwrap();
    let split = |sample: Value| {
        let template = sample["template"].as_str().unwrap().to_owned();
        (template, sample["context"].as_object().unwrap().clone())
    };
    samples.into_iter().map(split).collect()
}

fn layout<'a>(assets: &'a Assets, full: bool) -> Layout<'a> {
    let (lang, dir) = (LANGUAGE, "ltr");
    let error = FieldError { field: Some("email"), text: "Enter an address.".to_owned() };
    Layout {
        lang,
        dir,
        title: "Sign in – <b>Brand</b>".to_owned(),
        brand: "<b>Brand</b>",
        assets: &assets.urls,
        csrf: "token".to_owned(),
        dev: full.then_some(DevLinks {
            mailbox: "/dev/mail",
            clock: "/dev/clock",
            moved: Some("1 d 2 h 5 min".to_owned()),
        }),
        notice: full.then(|| "Done.".to_owned()),
        errors: if full { vec![error] } else { Vec::new() },
    }
}

#[test]
fn every_template_renders_in_every_sampled_state() {
    let (renderer, assets) = (Renderer::load().unwrap(), Assets::load());
    let mut rendered = BTreeSet::new();
    for (template, context) in samples() {
        // The pages of `idp dev` exist only there, so its links are always present.
        let states: &[bool] = if template.starts_with("dev/") { &[true] } else { &[false, true] };
        for full in states {
            let filled = renderer.fill(&template, &[&layout(&assets, *full), &context]);
            let page = filled.unwrap_or_else(|error| panic!("{template}: {error:?}"));
            if template.ends_with(".html") {
                assert!(!page.contains("<b>Brand"), "{template} prints a name unescaped");
            }
        }
        rendered.insert(template);
    }
    let own = |name: &String| !name.starts_with("partials/") && !name.ends_with("base.html");
    let missing: Vec<_> =
        renderer.template_names().into_iter().filter(own).filter(|name| !rendered.contains(name)).collect();
    assert!(missing.is_empty(), "never rendered: {missing:?}");
}

#[test]
fn an_unknown_variable_or_key_is_an_error() {
    let (renderer, assets) = (Renderer::load().unwrap(), Assets::load());
    let nothing = json!({});
    assert!(renderer.fill("pages/login.html", &[&layout(&assets, false), &nothing]).is_err());
    assert!(renderer.catalogue.try_text("no-such-key", &[]).is_none());
    assert!(renderer.catalogue.try_text("login-to", &[]).is_none(), "an argument is missing");
}

#[test]
fn every_refusal_has_its_texts() {
    let renderer = Renderer::load().unwrap();
    let args = [
        ("seconds", 5.into()),
        ("domain", "id.example".into()),
        ("brand", "Brand".into()),
        ("app", "App".into()),
        ("asked", "evil.example".into()),
    ];
    for reason in Reason::ALL {
        for key in [format!("error-{}-title", reason.key), format!("error-{}", reason.key)] {
            assert!(renderer.catalogue.try_text(&key, &args).is_some(), "{key}");
        }
    }
    for (key, args) in [
        ("login-wrong", vec![]),
        ("login-throttled", vec![("minutes", 5.into())]),
        ("login-unactivated", vec![]),
        ("login-closed", vec![("brand", "Brand".into())]),
        ("login-deactivated", vec![("brand", "Brand".into())]),
        ("email-missing", vec![]),
        ("email-invalid", vec![]),
        ("name-missing", vec![]),
        ("name-too-long", vec![("max", 100.into())]),
        ("password-missing", vec![]),
        ("password-mismatch", vec![]),
        ("password-too-short", vec![("min", 15.into())]),
        ("password-too-long", vec![("max", 256.into())]),
        ("password-weak", vec![("reason", "Because.".into())]),
        ("code-missing", vec![]),
        ("code-wrong", vec![]),
        ("code-too-many-tries", vec![]),
        ("mail-wait", vec![("seconds", 5.into())]),
        ("mail-limit", vec![("minutes", 5.into())]),
        ("password-confirm-missing", vec![]),
        ("consent-data-openid", vec![]),
        ("account-activated", vec![]),
        ("other-account-activated", vec![]),
        ("action-back-to-app", vec![("app", "App".into())]),
        ("action-register", vec![]),
        ("action-try-again", vec![]),
        ("mail-sent", vec![]),
        ("signed-in", vec![]),
        ("action-home", vec![]),
        ("action-start-again", vec![]),
        ("action-sign-in", vec![]),
    ] {
        assert!(renderer.catalogue.try_text(key, &args).is_some(), "{key}");
    }
}

/// The keys of the catalogue.
fn keys() -> BTreeSet<String> {
    let source = include_str!("../../locales/en/main.ftl");
    let keyed = |line: &str| line.split_once(" =").map(|(key, _)| key.to_owned());
    source
        .lines()
        .filter(|line| line.starts_with(|sign: char| sign.is_ascii_lowercase()))
        .filter_map(keyed)
        .collect()
}

/// The content of every file below a folder of this crate, except tests.
fn texts(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.file_name().is_some_and(|name| name != "tests.rs" && name != "samples.json") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn every_key_of_the_catalogue_is_used_and_none_is_missing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts: Vec<String> =
        ["src", "templates"].iter().flat_map(|folder| texts(&root.join(folder))).collect();
    let quoted: BTreeSet<&str> = texts.iter().flat_map(|text| text.split('"')).collect();
    let reasons: BTreeSet<String> = Reason::ALL
        .iter()
        .flat_map(|it| [format!("error-{}", it.key), format!("error-{}-title", it.key)])
        .collect();
    let scopes = idp_core::scope::KNOWN.map(|scope| scope.replace('_', "-"));
    let made = |key: &str| match key {
        _ if key.starts_with("password-reason-") => quoted.contains(&key["password-reason-".len()..]),
        _ if key.starts_with("consent-scope-") => scopes.iter().any(|scope| key.ends_with(scope)),
        _ if key.starts_with("consent-data-") => scopes.iter().any(|scope| key.ends_with(scope)),
        _ => reasons.contains(key),
    };
    let keys = keys();
    let unused: Vec<_> = keys.iter().filter(|key| !quoted.contains(key.as_str()) && !made(key)).collect();
    assert!(unused.is_empty(), "unused keys: {unused:?}");
    let asked = texts
        .iter()
        .flat_map(|text| text.split("t(key=\"").skip(1))
        .filter_map(|rest| rest.split('"').next());
    let missing: Vec<_> = asked.filter(|key| !keys.contains(*key)).collect();
    assert!(missing.is_empty(), "missing keys: {missing:?}");
}

#[test]
fn every_mail_has_its_three_parts() {
    let names = Renderer::load().unwrap().template_names();
    for kind in MailKind::ALL {
        for part in ["subject.txt", "body.txt", "body.html"] {
            let name = format!("emails/{}/{part}", kind.as_str());
            assert!(names.contains(&name), "{name}");
        }
    }
}
