//! Ways to a server: TLS, users, Unix sockets, IPv6.

mod support;

use std::time::Duration;

use scrubjay::{Builder, CacheService, ErrorKind};
use support::{Certificates, Server, eventually, temporary_directory};

/// A cache that answers from memory for longer than a server may keep it waiting.
fn builder(url: &str, prefix: &str) -> Builder {
    let patience = Duration::from_secs(1);
    support::builder(url, prefix).l2_timeout(patience).max_staleness(Duration::from_secs(60))
}

fn open(url: &str, prefix: &str) -> CacheService {
    builder(url, prefix).build().expect("a cache")
}

/// Whether a value stored by one cache reaches another one.
async fn share(one: &CacheService, other: &CacheService) -> bool {
    !one.set("k", "v", 60).await.unwrap().pending
        && other.get::<String>("k").await.unwrap().as_deref() == Some("v")
}

/// Whether the server is refused, time and again, while the cache itself works.
async fn refused(cache: &CacheService) {
    for _ in 0..3 {
        assert!(cache.set("k", "v", 60).await.unwrap().pending);
        assert_eq!(cache.get::<String>("k").await.unwrap().as_deref(), Some("v"), "from memory");
        assert_eq!(cache.get::<String>("other").await.unwrap(), None);
    }
    let stats = cache.stats();
    assert!(stats.l2_errors >= 4 && stats.pending == 1 && stats.hits_l2 == 0, "{stats:?}");
}

fn rediss(host: &str, server: &Server) -> Builder {
    builder(&format!("rediss://{host}:{}", server.port), "tls")
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let certificates = Certificates::make("DNS:localhost");
    let server = certificates.serve(false);
    let by_path = rediss("localhost", &server).tls_ca(certificates.path("ca.crt")).build().unwrap();
    let by_text = rediss("localhost", &server).tls_ca(certificates.text("ca.crt")).build().unwrap();
    assert!(share(&by_path, &by_text).await);
    // Several authorities in one text.
    let others = Certificates::make("DNS:localhost");
    let both = others.text("ca.crt") + &certificates.text("ca.crt");
    assert!(share(&by_path, &rediss("localhost", &server).tls_ca(both).build().unwrap()).await);
}

#[tokio::test]
async fn tls_by_ip_address() {
    let certificates = Certificates::make("IP:127.0.0.1");
    let server = certificates.serve(false);
    let open = || rediss("127.0.0.1", &server).tls_ca(certificates.path("ca.crt")).build().unwrap();
    assert!(share(&open(), &open()).await);
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused() {
    let certificates = Certificates::make("DNS:localhost");
    let server = certificates.serve(false);
    let strangers = Certificates::make("DNS:localhost");
    refused(&rediss("localhost", &server).tls_ca(strangers.path("ca.crt")).build().unwrap()).await;
    refused(&rediss("localhost", &server).build().unwrap()).await;
    refused(&rediss("127.0.0.1", &server).tls_ca(certificates.path("ca.crt")).build().unwrap()).await;
    // Neither speaks plain text to a server with TLS, nor TLS to one without.
    refused(&open(&format!("redis://localhost:{}", server.port), "tls")).await;
    let plain = Server::start();
    refused(&rediss("localhost", &plain).tls_ca(certificates.path("ca.crt")).build().unwrap()).await;
    assert_eq!(plain.command::<usize>(&[b"DBSIZE"]), 0);
}

#[tokio::test]
async fn tls_with_a_certificate_of_the_client() {
    let certificates = Certificates::make("DNS:localhost");
    let server = certificates.serve(true);
    let ca = certificates.path("ca.crt");
    let open = || {
        rediss("localhost", &server)
            .tls_ca(ca.clone())
            .tls_cert(certificates.text("client.crt"))
            .tls_key(certificates.path("client.key"))
            .build()
            .unwrap()
    };
    assert!(share(&open(), &open()).await);
    refused(&rediss("localhost", &server).tls_ca(ca.clone()).build().unwrap()).await;
}

#[tokio::test]
async fn wrong_files_are_told_when_the_cache_is_opened() {
    let certificates = Certificates::make("DNS:localhost");
    let path = |file: &str| Some(certificates.path(file));
    let text = |text: &str| Some(text.to_owned());
    let broken = "-----BEGIN CERTIFICATE-----\nSECRET\n-----END CERTIFICATE-----\n";
    for (ca, cert, key, named) in [
        (path("absent"), None, None, "tls_ca"),
        (path(""), None, None, "tls_ca"),
        (path("client.key"), None, None, "tls_ca"),
        (text("SECRET"), None, None, "tls_ca"),
        (text(broken), None, None, "tls_ca"),
        (None, path("client.crt"), None, "tls_key"),
        (None, None, path("client.key"), "tls_cert"),
        (None, path("client.crt"), path("client.crt"), "tls_key"),
        (None, path("client.key"), path("client.key"), "tls_cert"),
        (None, path("client.crt"), path("server.key"), "tls_key"),
    ] {
        let builder = CacheService::builder().url("rediss://localhost").tls_ca(ca).tls_cert(cert).tls_key(key);
        let error = builder.build().expect_err(named);
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.message().starts_with(named) && !error.message().contains("SECRET"), "{named}: {error}");
    }
}

#[tokio::test]
async fn users_and_passwords() {
    let server = Server::start();
    let admin = server.url();
    let ada: [&[u8]; 8] = [b"ACL", b"SETUSER", b"ada", b"on", b">s3/cret@", b"~sj:*", b"+@all", b"-@dangerous"];
    let () = server.query(&admin, &ada);
    let () = server.query(&admin, &[b"ACL", b"SETUSER", b"guest", b"on", b"nopass", b"~sj:*", b"+@all"]);
    let place = format!("127.0.0.1:{}", server.port);
    let by_url = open(&format!("redis://ada:s3%2Fcret@@{place}"), "users");
    let by_option =
        builder(&admin, "users").username("ada".to_owned()).password("s3/cret@".to_owned()).build().unwrap();
    assert!(share(&by_url, &by_option).await);
    assert!(share(&by_url, &open(&format!("redis://guest:@{place}"), "users")).await);
    refused(&open(&format!("redis://ada:wrong@{place}"), "users")).await;
    refused(&open(&format!("redis://nobody:s3%2Fcret@{place}"), "users")).await;
    let list: String = server.query(&admin, &[b"CLIENT", b"LIST"]);
    assert!(list.contains("user=ada") && !list.contains("user=nobody"), "{list}");
}

#[tokio::test]
async fn a_user_who_may_touch_entries_only() {
    let server = Server::start();
    let user: [&[u8]; 11] = [
        b"ACL",
        b"SETUSER",
        b"ada",
        b"on",
        b">pw",
        b"~sj:{small.0}:e:*",
        b"+get",
        b"+mget",
        b"+set",
        b"+unlink",
        b"+time",
    ];
    let () = server.command(&user);
    let url = format!("redis://ada:pw@127.0.0.1:{}", server.port);
    let (one, other) = (open(&url, "small"), open(&url, "small"));
    assert!(share(&one, &other).await);
    one.set_many([("a", &1), ("b", &2)], 60).await.unwrap();
    assert_eq!(other.get_many::<i32>(&["a", "b", "c"]).await.unwrap().len(), 2);
    assert!(!other.delete("a").await.unwrap().pending);
    assert_eq!((one.stats().l2_errors, other.stats().l2_errors), (0, 0));
    // Not even a look at other keys, which such a user gets as errors and not as misses to write over.
    let strange = open(&url, "other");
    assert_eq!(strange.get::<i32>("a").await.unwrap(), None);
    assert!(strange.set("a", &1, 60).await.unwrap().pending);
    assert_eq!(strange.stats().l2_errors, 2);
}

#[tokio::test]
async fn a_password_that_is_put_right_is_noticed() {
    let server = Server::start_with(&["--requirepass", "new"]);
    let admin = format!("redis://:new@127.0.0.1:{}", server.port);
    let cache = open(&format!("redis://:old@127.0.0.1:{}", server.port), "users");
    refused(&cache).await;
    let without = open(&server.url(), "users");
    refused(&without).await;
    let () = server.query(&admin, &[b"CONFIG", b"SET", b"requirepass", b"old"]);
    eventually("it lands", async || cache.stats().pending == 0).await;
    assert!(!cache.set("k", "v", 60).await.unwrap().pending);
    assert_eq!(without.stats().pending, 1);
}

#[tokio::test]
async fn a_database_of_its_own() {
    let server = Server::start();
    let (zero, three) = (open(&server.url(), "db"), open(&format!("{}/3", server.url()), "db"));
    three.set("k", "three", 60).await.unwrap();
    assert_eq!(zero.get::<String>("k").await.unwrap(), None);
    assert!(share(&three, &open(&format!("{}/3", server.url()), "db")).await);
    refused(&open(&format!("{}/99", server.url()), "db")).await;
}

#[tokio::test]
async fn unix_sockets() {
    let directory = temporary_directory();
    let socket = directory.join("a socket.sock");
    let path = socket.to_str().unwrap().to_owned();
    let server = Server::start_in(directory, |_| vec!["--unixsocket".to_owned(), path.clone()]);
    let () = server.command(&[b"ACL", b"SETUSER", b"ada", b"on", b">p&w", b"~*", b"+@all"]);
    let url = format!("unix://{}", path.replace(' ', "%20"));
    assert!(share(&open(&url, "unix"), &open(&format!("{url}?db=0&user=ada&pass=p%26w"), "unix")).await);
    assert!(server.entry("unix", "k").is_some());
    let two = open(&format!("{url}?db=2"), "unix");
    assert_eq!(two.get::<String>("k").await.unwrap(), None);
    refused(&open("unix:///nowhere/at/all.sock", "unix")).await;
}

#[tokio::test]
async fn addresses_without_a_scheme_names_and_ipv6() {
    // The last --bind counts.
    let server = Server::start_with(&["--bind", "127.0.0.1", "::1"]);
    let urls = [
        format!("127.0.0.1:{}", server.port),
        format!(":{}", server.port),
        format!("[::1]:{}", server.port),
        format!("redis://[::1]:{}/0", server.port),
        format!("redis://localhost:{}", server.port),
    ];
    for url in urls {
        assert!(share(&open(&url, "v6"), &open(&server.url(), "v6")).await, "{url}");
    }
    refused(&open("redis://no-such-host.invalid:6379", "v6")).await;
}
