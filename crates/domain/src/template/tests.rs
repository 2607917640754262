//! Templates as streamers write them and viewers use them.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::command_line::words;

/// 2030-01-01 12:00 UTC.
fn noon() -> DateTime<Utc> {
    "2030-01-01T12:00:00Z".parse().unwrap()
}

/// What `text` becomes when Ann types `typed` after the command.
fn filled(text: &str, typed: &str) -> String {
    let template = Template::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let args = words(typed);
    let stream = StreamInfo {
        live: Some(true),
        started_at: Some("2030-01-01T08:55:00Z".parse().unwrap()),
        title: Some("A title".to_owned()),
        game: None,
    };
    let values = Values {
        user: "Ann",
        touser: args.first().map_or("", String::as_str),
        args: &args,
        query: typed,
        count: Some(7),
        channel: "waddle",
        stream: &stream,
        quote: "!ban $(user)",
        fetched: &["/ban $(user)".to_owned(), "two".to_owned()],
    };
    template.expand(&values, &mut StdRng::seed_from_u64(1), noon())
}

fn refusal(text: &str) -> String {
    Template::parse(text).unwrap_err().to_string()
}

#[test]
fn variables_are_filled_in_both_spellings() {
    for (text, typed, want) in [
        ("Hello $(user)", "", "Hello Ann"),
        ("Hello ${USER}!", "", "Hello Ann!"),
        ("$(user) hugs $(touser)", "@Bob now", "Ann hugs Bob"),
        ("$(user) hugs $(touser)", "", "Ann hugs Ann"),
        ("$(2)-$(1)-$(9)|", r#""a b" c"#, "c-a b-|"),
        ("say $(query)", "a  b", "say a  b"),
        ("https://x.test/?q=$(querystring)", "a b&ü", "https://x.test/?q=a%20b%26%C3%BC"),
        ("$(count) times in $(channel)", "", "7 times in waddle"),
        ("$(title), $(game), $(uptime)", "", "A title, unknown, 3 h 5 min"),
        ("$( user )", "", "Ann"),
    ] {
        assert_eq!(filled(text, typed), want, "{text:?}");
    }
}

#[test]
fn a_dollar_alone_is_text() {
    assert_eq!(filled("$5 or 5$ or $user $ (user) ) }", ""), "$5 or 5$ or $user $ (user) ) }");
}

#[test]
fn times_are_told_and_counted() {
    assert_eq!(filled("$(time Europe/Berlin) $(time utc)", ""), "13:00 12:00");
    assert_eq!(filled("$(countdown 2030-01-02T13:00)", ""), "1 d 1 h");
    assert_eq!(filled("$(countdown 2029-01-01)", ""), "0 s");
    assert_eq!(filled("$(countup 2030-01-01T11:00:00+00:00)", ""), "1 h");
}

#[test]
fn random_numbers_stay_in_their_range() {
    for (text, from, to) in [
        ("$(random 1-6)", 1, 6),
        ("$(random -5--3)", -5, -3),
        ("$(random 9-9)", 9, 9),
        ("$(random 6-1)", 1, 6),
    ] {
        let number: i64 = filled(text, "").parse().unwrap();
        assert!((from..=to).contains(&number), "{text}: {number}");
    }
}

#[test]
fn random_picks_one_of_the_options() {
    for (text, options) in [
        ("$(random pick a|b c|d)", ["a", "b c", "d"]),
        (r#"$(random pick "a b" c d)"#, ["a b", "c", "d"]),
        ("${random pick :) (b) c}", [":)", "(b)", "c"]),
        (r#"$(random pick "a :)" (b) c)"#, ["a :)", "(b)", "c"]),
        (r#"$(random pick "a"|"b"|c)"#, ["a", "b", "c"]),
    ] {
        let picked = filled(text, "");
        assert!(options.contains(&picked.as_str()), "{text}: {picked}");
    }
}

#[test]
fn nested_variables_are_evaluated_inside_out() {
    assert_eq!(filled("$(random ${count}-$(count))", ""), "7");
    assert_eq!(filled("$(random pick $(user)|$(user))", ""), "Ann");
    assert_eq!(filled("$(time $(query))", "europe/berlin"), "13:00");
    assert_eq!(filled("$(time $(query)) $(countdown $(1)) $(random $(1))", "x"), "? ? ?");
}

#[test]
fn what_a_viewer_typed_is_never_evaluated() {
    assert_eq!(filled("say $(query)", "$(count) ${user}"), "say $(count) ${user}");
    assert_eq!(filled("say $(1) $(touser)", "$(count)"), "say $(count) $(count)");
    assert_eq!(filled("say $(random pick $(1)|$(1))", "$(count)"), "say $(count)");
}

#[test]
fn what_a_viewer_typed_never_becomes_a_command() {
    for (text, typed, want) in [
        ("$(query)", "!ban Bob", "ban Bob"),
        ("$(query)", " \u{200b}/ban Bob", "ban Bob"),
        (" $(9)$(query)", ".ban Bob", "ban Bob"),
        ("\u{200b}$(query)", "/ban Bob", "ban Bob"),
        ("/$(query)", "ban Bob", "ban Bob"),
        ("!b$(query)", "an Bob", "ban Bob"),
        ("$(random pick $(query)|$(query))", "/ban", "ban"),
        ("$(touser)", "@/ban", "ban"),
        ("a\n$(query)", "x\r\nPRIVMSG #y :z", "a x  PRIVMSG #y :z"),
    ] {
        assert_eq!(filled(text, typed), want, "{text:?}");
    }
}

#[test]
fn what_was_fetched_is_put_in_as_a_value_and_never_becomes_a_command() {
    for (text, want) in [
        ("it says $(urlfetch https://x.test)", "it says /ban $(user)"),
        ("$(urlfetch https://x.test)", "ban $(user)"),
        ("/$(urlfetch https://x.test)", "ban $(user)"),
        ("$(random pick $(urlfetch https://x.test)) b", "ban b"),
        ("a $(urlfetch https://x.test) $(urlfetch https://y.test)", "a /ban $(user) two"),
    ] {
        let want = if text.contains("pick") { vec!["ban b", "$(user) b"] } else { vec![want] };
        let filled = filled(text, "");
        assert!(want.contains(&filled.as_str()), "{text:?}: {filled}");
    }
}

#[test]
fn addresses_are_told_with_what_stands_in_them_in_the_order_of_their_answers() {
    let text = "$(time $(urlfetch https://x.test/?q=$(querystring))) ${urlfetch https://y.test/$(1)}";
    let template = Template::parse(text).unwrap();
    let args = words("a b");
    let values = Values {
        user: "Ann",
        touser: "",
        args: &args,
        query: "a b",
        count: None,
        channel: "waddle",
        stream: &StreamInfo::default(),
        quote: "",
        fetched: &[],
    };
    let urls = template.urls(&values, &mut StdRng::seed_from_u64(1), noon());
    assert_eq!(urls, ["https://x.test/?q=a%20b", "https://y.test/a"]);
    let fetched = ["utc".to_owned(), "two".to_owned()];
    let values = Values { fetched: &fetched, ..values };
    assert_eq!(template.expand(&values, &mut StdRng::seed_from_u64(1), noon()), "12:00 two");
}

#[test]
fn an_author_may_write_commands() {
    assert_eq!(filled("/me hugs $(query)", "!x"), "/me hugs !x");
    assert_eq!(filled("!so $(1)", "Bob"), "!so Bob");
    assert_eq!(filled("$(random pick \"/me waves\")", ""), "/me waves");
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest() {
    assert_eq!(refusal("Hi $(usr)"), "there is no variable `usr`; did you mean `user`?");
    assert_eq!(refusal("Hi $(abcdefgh)"), "there is no variable `abcdefgh`");
    assert_eq!(refusal("Hi $(10)"), "there is no variable `10`; did you mean `1`?");
    assert_eq!(
        refusal("$(time Europe/Berlim)"),
        "there is no time zone `Europe/Berlim`; did you mean `Europe/Berlin`?"
    );
}

#[test]
fn a_variable_without_its_source_is_refused_with_that_reason() {
    assert_eq!(refusal("$(points https://x.test/$(query))"), "`$(points)` is not in this version");
    assert!(refusal("$(eval 1+1)").contains("never run code"));
}

#[test]
fn a_quote_is_put_in_as_it_is_and_becomes_no_command() {
    assert_eq!(filled("$(quote)", ""), "ban $(user)");
    assert_eq!(filled("Once: $(quote)", ""), "Once: !ban $(user)");
    // A viewer's words stay a viewer's, however they were put in.
    assert!(["ban", "$(user)"].contains(&filled("$(random pick $(quote))", "").as_str()));
    assert!(refusal("$(quote 3)").contains("it without further words"));
    let uses = |text: &str| Template::parse(text).unwrap().uses_quote();
    assert!(uses("$(time $(quote))") && !uses("$(user) quote"));
}

#[test]
fn what_cannot_be_read_is_refused_with_the_right_form() {
    for (text, want) in [
        ("Hi $(user", "`$(user` is never closed"),
        ("$()", "needs a name"),
        ("$($(user))", "needs a name"),
        ("$(user x)", "`$(user)` cannot be read"),
        ("$(random)", "write $(random 1-100)"),
        ("$(random x)", "write $(random 1-100)"),
        ("$(random pick)", "$(random pick a|b|c)"),
        ("$(random pick | )", "$(random pick a|b|c)"),
        ("$(time)", "write $(time Europe/Berlin)"),
        ("$(countdown soon)", "write $(countdown 2030"),
        ("$(countup)", "write $(countup 2020"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(want), "{text:?}: {refusal}");
    }
}

#[test]
fn templates_are_bounded() {
    assert_eq!(Template::parse(&"a".repeat(1_001)), Err(TemplateError::TooLong));
    assert_eq!(Template::parse(&"$(user)".repeat(51)), Err(TemplateError::TooManyVariables));
    assert!(Template::parse(&"$(user)".repeat(50)).is_ok());
    let nested = |depth: usize| format!("{}x{}", "$(random pick ".repeat(depth), ")".repeat(depth));
    assert!(Template::parse(&nested(5)).is_ok());
    assert_eq!(Template::parse(&nested(6)), Err(TemplateError::TooDeep));
    let answer = filled(&"$(querystring)".repeat(50), &"ü".repeat(400));
    assert_eq!(answer.chars().count(), OUTPUT_CHARS_MAX);
}

#[test]
fn a_template_knows_whether_it_counts() {
    assert!(Template::parse("$(random 1-$(count))").unwrap().uses_count());
    assert!(!Template::parse("$(user) count").unwrap().uses_count());
}

proptest! {
    #[test]
    fn no_viewer_makes_a_command_of_an_answer(typed in "[!/.#@ \u{200b}$(){}a-z]{0,20}") {
        for text in ["$(query)", "$(1)$(2)", " $(touser)", "/$(query)", "$(random pick $(query))"] {
            let answer = filled(text, &typed);
            let is_authors_prefix_alone = answer == "/";
            let is_command = answer.starts_with(['!', '/', '.', '#', ' ']);
            prop_assert!(!is_command || is_authors_prefix_alone, "{text:?}: {answer:?}");
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "([$(){}\"| ]|\\$\\(|random|pick|user|time|é){0,40}") {
        if let Ok(template) = Template::parse(&text) {
            let stream = StreamInfo::default();
            let values = Values {
                user: "Ann", touser: "", args: &[], query: "", count: None, channel: "x", stream: &stream,
                quote: "", fetched: &[],
            };
            let answer = template.expand(&values, &mut StdRng::seed_from_u64(1), noon());
            prop_assert!(answer.chars().count() <= OUTPUT_CHARS_MAX);
        }
    }
}
