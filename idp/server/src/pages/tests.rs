//! Every page and mail is rendered once, so that no variable and no word can be missing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::assets::Assets;
use crate::errors::Reason;
use crate::render::{DevLinks, FieldError, Frame, Renderer, language};
use idp_store::MailKind;

/// What templates are filled with, beyond the frame; several states of most of them.
fn samples() -> Vec<(String, Map<String, Value>)> {
    let samples: Vec<Value> = serde_json::from_str(include_str!("samples.json")).unwrap();
    let split = |sample: Value| {
        let template = sample["template"].as_str().unwrap().to_owned();
        (template, sample["context"].as_object().unwrap().clone())
    };
    samples.into_iter().map(split).collect()
}

fn frame<'a>(assets: &'a Assets, full: bool) -> Frame<'a> {
    let (lang, dir) = language();
    let error = FieldError { field: Some("email"), text: "Enter an address.".to_owned() };
    Frame {
        lang,
        dir,
        title: "Sign in – <b>Brand</b>".to_owned(),
        brand: "<b>Brand</b>",
        assets: &assets.urls,
        csrf: "token".to_owned(),
        dev: full.then_some(DevLinks { mailbox: "/dev/mail", clock: "/dev/clock" }),
        notice: full.then(|| "Done.".to_owned()),
        errors: if full { vec![error] } else { Vec::new() },
        help_url: None,
    }
}

#[test]
fn every_template_renders_in_every_sampled_state() {
    let (renderer, assets) = (Renderer::load().unwrap(), Assets::load());
    let mut rendered = BTreeSet::new();
    for (template, context) in samples() {
        // The pages of `dev` exist in `dev` only, where its links are there.
        let states: &[bool] = if template.starts_with("dev/") { &[true] } else { &[false, true] };
        for full in states {
            let filled = renderer.fill(&template, &[&frame(&assets, *full), &context]);
            let page = filled.unwrap_or_else(|error| panic!("{template}: {:?}", error.detail));
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
fn an_unknown_variable_or_word_is_an_error() {
    let (renderer, assets) = (Renderer::load().unwrap(), Assets::load());
    let nothing = json!({});
    assert!(renderer.fill("pages/login.html", &[&frame(&assets, false), &nothing]).is_err());
    assert!(renderer.words.try_text("no-such-key", &[]).is_none());
    assert!(renderer.words.try_text("login-to", &[]).is_none(), "an argument is missing");
}

#[test]
fn every_refusal_has_its_words() {
    let renderer = Renderer::load().unwrap();
    let args = [("seconds", 5.into()), ("domain", "id.example".into()), ("brand", "Brand".into())];
    for reason in Reason::ALL {
        for key in [format!("error-{}-title", reason.key), format!("error-{}", reason.key)] {
            assert!(renderer.words.try_text(&key, &args).is_some(), "{key}");
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
        ("mail-sent", vec![]),
        ("signed-in", vec![]),
        ("action-home", vec![]),
        ("action-start-again", vec![]),
        ("action-sign-in", vec![]),
    ] {
        assert!(renderer.words.try_text(key, &args).is_some(), "{key}");
    }
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
