use proptest::prelude::*;

use super::*;

fn profile() -> ShoutoutProfile {
    ShoutoutProfile {
        display_name: "Ann".to_owned(),
        login: "ann_1".to_owned(),
        game_name: Some("Chess".to_owned()),
        title: "Openings".to_owned(),
        viewer_count: Some(42),
        profile_image_url: "https://example.org/a.png".to_owned(),
        ..ShoutoutProfile::default()
    }
}

fn rendered(template: &str, profile: &ShoutoutProfile, platform: Platform) -> String {
    ShoutoutTemplate::parse(template).unwrap().render(profile, platform)
}

#[test]
fn every_default_text_can_be_saved_and_tells_where_to_go() {
    for platform in Platform::ALL {
        for is_live in [true, false] {
            let said = rendered(default_text(platform, is_live), &profile(), platform);
            assert!(said.contains("Ann") && said.contains("https://twitch.tv/ann_1"), "{said}");
        }
    }
    assert_eq!(
        rendered(default_text(Platform::Discord, true), &profile(), Platform::Discord),
        "Have a look at **Ann** (Chess): <https://twitch.tv/ann_1>"
    );
    assert_eq!(
        rendered(default_text(Platform::Slack, true), &profile(), Platform::Slack),
        "Have a look at *Ann* (Chess): <https://twitch.tv/ann_1|ann_1>"
    );
}

#[test]
fn every_variable_is_filled_and_what_is_unknown_has_a_word() {
    let all = Variable::ALL.map(|variable| format!("[{{{}}}]", variable.as_str())).join("");
    assert_eq!(
        rendered(&all, &profile(), Platform::Twitch),
        "[Ann][ann_1][Chess][Openings][42][][][https://example.org/a.png][]"
    );
    assert_eq!(rendered(&all, &ShoutoutProfile::default(), Platform::Twitch), "[][][Unknown][][0][][][][]");
}

#[test]
fn a_template_with_a_mistake_is_refused_by_name() {
    let refused = |text: &str| ShoutoutTemplate::parse(text).unwrap_err();
    let unknown = refused("{display_name} {login} {followers}");
    assert_eq!(unknown, ShoutoutTemplateError::Unknown("followers".to_owned()));
    assert!(unknown.to_string().starts_with("unknown variable `{followers}`; known are display_name, login"));
    assert_eq!(refused("{login}"), ShoutoutTemplateError::Missing("display_name"));
    assert_eq!(refused("{display_name}"), ShoutoutTemplateError::Missing("login"));
    assert_eq!(refused("{display_name} {login"), ShoutoutTemplateError::Unclosed);
    let with_chars = |n: usize| format!("{:x<n$}", "{display_name}{login}");
    assert_eq!(refused(&with_chars(TEMPLATE_CHARS_MAX + 1)), ShoutoutTemplateError::TooLong);
    assert!(ShoutoutTemplate::parse(&with_chars(TEMPLATE_CHARS_MAX)).is_ok());
}

#[test]
fn what_a_streamer_wrote_comes_out_as_plain_text() {
    let template = "{title} {display_name} {login}";
    let titled = |title: &str, platform| {
        rendered(template, &ShoutoutProfile { title: title.to_owned(), ..profile() }, platform)
    };
    assert_eq!(titled("/ban x", Platform::Twitch), "ban x Ann ann_1");
    assert_eq!(titled("{login}", Platform::Twitch), "{login} Ann ann_1");
    assert_eq!(titled("a\r\nPRIVMSG #x :b", Platform::Twitch), "a  PRIVMSG #x :b Ann ann_1");
    assert_eq!(titled("<svg onload=a>", Platform::Slack), "&lt;svg onload=a&gt; Ann ann_1");
    assert_eq!(titled("<svg onload=a>", Platform::Discord), "\\<svg onload=a\\> Ann ann_1");
    assert_eq!(titled("**a** @everyone", Platform::Discord), "\\*\\*a\\*\\* @\u{200b}everyone Ann ann_1");
    assert_eq!(
        rendered("{description}/ban {login} {display_name}", &profile(), Platform::Twitch),
        "ban ann_1 Ann"
    );
}

#[test]
fn an_address_cannot_leave_its_place() {
    let hostile = ShoutoutProfile {
        login: "ann> @everyone".to_owned(),
        profile_image_url: "https://example.org/>|x".to_owned(),
        offline_image_url: "javascript:alert(1)".to_owned(),
        ..profile()
    };
    let template = "{display_name} <https://twitch.tv/{login}> [{profile_image_url}{offline_image_url}]";
    assert_eq!(rendered(template, &hostile, Platform::Discord), "Ann <https://twitch.tv/anneveryone> []");
}

proptest! {
    #[test]
    fn no_profile_makes_a_command_or_a_long_text(title in "[!/.#{ ]{0,3}\\PC{0,600}", name in "\\PC{0,400}") {
        let profile = ShoutoutProfile { title, display_name: name, ..profile() };
        for platform in Platform::ALL {
            let said = rendered("{title}{display_name}{title}{title}{login}", &profile, platform);
            prop_assert!(!said.starts_with(['!', '/', '.', '#', ' ']), "{said:?}");
            prop_assert!(said.chars().count() <= RENDERED_CHARS_MAX);
        }
    }
}
