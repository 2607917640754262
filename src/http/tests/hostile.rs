//! Addresses that want us to call a listener that is none of their business.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::RootCertStore;
use url::Url;

use super::fetches::{LIMIT, allowing, community};
use super::server::{Server, answer};
use crate::http::{FetchError, FetchOptions, Lookup, UrlFetcher, UrlRefused};
use crate::messages::Clock;

/// `P` is the private listener's port, which is otherwise permitted.
const HOSTILE: &[&str] = &[
    "http://127.0.0.1:P/",
    "http://127.1:P/",
    "http://127.0.1:P/",
    "http://127.255.255.254:P/",
    "http://0x7f.1:P/",
    "http://0x7f000001:P/",
    "http://0x7f.0x0.0x0.0x1:P/",
    "http://0X7F.1:P/",
    "http://2130706433:P/",
    "http://017700000001:P/",
    "http://0177.0.0.1:P/",
    "http://0177.0x0.0.1:P/",
    "http://127.0.0.1.:P/",
    "http://%31%32%37.0.0.1:P/",
    "http://１２７.０.０.１:P/",
    "http://127。0。0。1:P/",
    "http://①②⑦.0.0.1:P/",
    "http:127.0.0.1:P/",
    "http:\\\\127.0.0.1:P\\",
    "http:///127.0.0.1:P/",
    "HtTp://127.0.0.1:P/",
    " http://127.0.0.1:P/\n",
    "ht\ttp://127.0.\n0.1:P/",
    "http://0:P/",
    "http://0.0.0.0:P/",
    "http://00000000:P/",
    "http://10.0.0.1:P/",
    "http://100.64.0.1:P/",
    "http://169.254.169.254:P/latest/meta-data/",
    "http://0xa9fea9fe:P/",
    "http://172.16.0.1:P/",
    "http://192.0.0.1:P/",
    "http://192.168.0.1:P/",
    "http://198.18.0.1:P/",
    "http://224.0.0.1:P/",
    "http://255.255.255.255:P/",
    "http://[::]:P/",
    "http://[::1]:P/",
    "http://[0:0:0:0:0:0:0:1]:P/",
    "http://[::ffff:127.0.0.1]:P/",
    "http://[::ffff:7f00:1]:P/",
    "http://[::ffff:10.0.0.1]:P/",
    "http://[::127.0.0.1]:P/",
    "http://[64:ff9b::7f00:1]:P/",
    "http://[64:ff9b::127.0.0.1]:P/",
    "http://[2002:7f00:1::]:P/",
    "http://[2001:0:7f00:1::]:P/",
    "http://[fc00::1]:P/",
    "http://[fd00:ec2::254]:P/",
    "http://[fe80::1]:P/",
    "http://[ff02::1]:P/",
    "http://user@127.0.0.1:P/",
    "http://good.test@127.0.0.1:P/",
    "http://good.test:80@127.0.0.1:P/",
    "http://good.test%40127.0.0.1:P/",
    "http://127.0.0.1:P\\@good.test/",
    "http://127.0.0.1:P#@good.test/",
    "http://127.0.0.1:P?@good.test/",
    "http://localhost:P/",
    "http://LOCALHOST.:P/",
    "http://private.test:P/",
    "http://PRIVATE.test:P/",
    "http://private.test.:P/",
    "http://private6.test:P/",
    "http://mapped.test:P/",
    "http://nat64.test:P/",
    "http://metadata.test:P/",
    "http://mixed.test:P/",
    "http://mixed-late.test:P/",
    "http://unspecified.test:P/",
    "https://127.0.0.1:P/",
    "https://private.test:P/",
    "ftp://127.0.0.1:P/",
    "ws://127.0.0.1:P/",
    "gopher://127.0.0.1:P/_x",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "data:text/plain,x",
    "javascript:fetch('http://127.0.0.1:P')",
    "//127.0.0.1:P/",
    "127.0.0.1:P",
    "http://",
    "http://:P/",
    "http://[::1",
    "http://127.0.0.1:99999/",
];

/// Names that lead inside, sometimes with a public address beside it.
fn names() -> Lookup {
    Arc::new(|name| {
        let addresses: &[&str] = match name.trim_end_matches('.').to_lowercase().as_str() {
            "localhost" | "private.test" => &["127.0.0.1:0"],
            "private6.test" => &["[::1]:0"],
            "mapped.test" => &["[::ffff:127.0.0.1]:0"],
            "nat64.test" => &["[64:ff9b::7f00:1]:0"],
            "metadata.test" => &["169.254.169.254:0"],
            "mixed.test" => &["93.184.216.34:0", "127.0.0.1:0"],
            "mixed-late.test" => &["127.0.0.1:0", "93.184.216.34:0"],
            "unspecified.test" => &["0.0.0.0:0"],
            _ => return Err(io::Error::other("no such host")),
        };
        Ok(addresses.iter().map(|address| address.parse::<SocketAddr>().unwrap()).collect())
    })
}

/// A fetcher that goes to the listener's port too, so that it is the host that is refused.
fn fetcher(private: &Server, allow: Vec<String>, lookup: Lookup) -> UrlFetcher {
    let mut options = FetchOptions::new(RootCertStore::empty(), Clock::System, allow);
    options.ports.push(private.address.port());
    UrlFetcher::new(FetchOptions { lookup, ..options }).unwrap()
}

fn hostile(private: &Server) -> Vec<String> {
    let port = private.address.port().to_string();
    HOSTILE.iter().map(|url| url.replacen(":P", &format!(":{port}"), 1)).collect()
}

#[tokio::test]
async fn hostile_addresses_open_no_socket_to_a_private_listener() {
    let private = Server::start(|_, _| answer(200, "", b"private")).await;
    let urls = hostile(&private);
    assert!(urls.len() >= 40, "{}", urls.len());
    let guarded = fetcher(&private, Vec::new(), names());
    for url in &urls {
        let ended = guarded.fetch(community(1), url, LIMIT).await;
        let error = ended.expect_err(url);
        assert_ne!(error, FetchError::Open, "{url}: the guard is to refuse it, not the breaker");
        assert!(!error.to_string().contains("127.0"), "{error}");
    }
    assert_eq!(private.n_connections(), 0);

    // The same addresses, each allowed by the operator: many do lead to the listener.
    let mut n_reached = 0;
    for url in &urls {
        let Ok(parsed) = Url::parse(url) else { continue };
        let (Some(host), Some(port)) = (parsed.host(), parsed.port_or_known_default()) else { continue };
        let open = fetcher(&private, vec![format!("{host}:{port}")], names());
        let limit = Duration::from_millis(300);
        n_reached += usize::from(open.fetch(community(1), url, limit).await.as_deref() == Ok("private"));
    }
    assert!(n_reached >= 20, "{n_reached}");
    assert!(private.n_connections() >= n_reached);
}

#[tokio::test]
async fn redirects_to_hostile_addresses_open_no_socket_to_a_private_listener() {
    let private = Server::start(|_, _| answer(200, "", b"private")).await;
    let urls = hostile(&private);
    let targets = urls.clone();
    let public = Server::start(move |_, head| {
        // Some are no addresses of their own to a browser: they stay on this server, where nothing is.
        let Ok(number) = head[5..].split(' ').next().unwrap().parse::<usize>() else {
            return answer(404, "", b"");
        };
        let target = targets[number].replace(['\n', '\t'], "");
        answer(if number % 2 == 0 { 302 } else { 307 }, &format!("location: {target}\r\n"), b"")
    })
    .await;
    let guarded = fetcher(&private, vec![public.address.to_string()], names());
    for (number, url) in urls.iter().enumerate() {
        let ended = guarded.fetch(community(1), &public.url(&format!("/{number}")), LIMIT).await;
        assert!(ended.is_err(), "{url}: {ended:?}");
    }
    assert!(public.n_requests() >= urls.len());
    assert_eq!(private.n_connections(), 0);
    let both = allowing(&[&public, &private]);
    assert_eq!(both.fetch(community(1), &public.url("/0"), LIMIT).await.as_deref(), Ok("private"));
}

#[tokio::test]
async fn a_name_that_turns_private_after_it_was_looked_at_is_refused() {
    let private = Server::start(|_, _| answer(200, "", b"private")).await;
    let n_asked = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&n_asked);
    let turning: Lookup = Arc::new(move |_| {
        let public = asked.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(vec![SocketAddr::from((if public { [93, 184, 216, 34] } else { [127, 0, 0, 1] }, 0))])
    });
    let url = format!("http://turning.test:{}/", private.address.port());
    let guarded = fetcher(&private, Vec::new(), turning);
    for _ in 0..3 {
        assert!(guarded.fetch(community(1), &url, Duration::from_millis(300)).await.is_err());
    }
    assert!(n_asked.load(Ordering::SeqCst) >= 2, "each fetch looks the name up again");
    assert_eq!(private.n_connections(), 0);
}

#[tokio::test]
async fn an_address_that_is_about_to_be_saved_is_refused_by_name() {
    let private = Server::start(|_, _| answer(200, "", b"")).await;
    let guarded = allowing(&[&private]);
    for (url, want) in [
        ("nonsense", UrlRefused::Scheme),
        ("http://[::1", UrlRefused::Unreadable),
        ("ftp://x.test/", UrlRefused::Scheme),
        ("https://me:secret@x.test/", UrlRefused::UserInfo),
        ("https://x.test:8080/", UrlRefused::Port),
        ("https://0x7f.1/", UrlRefused::NotPublic),
        (&format!("https://x.test/{}", "x".repeat(2_000)), UrlRefused::TooLong),
    ] {
        assert_eq!(guarded.check(url), Err(want), "{url}");
    }
    for url in ["https://x.test/a?b=c", "http://x.test:443", "http://1.1.1.1/", &private.url("/")] {
        assert_eq!(guarded.check(url), Ok(()), "{url}");
    }
}
