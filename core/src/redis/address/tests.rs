use super::*;

fn parse(url: &str) -> Result<Address> {
    Address::parse(url, TlsAndAuth::default())
}

fn tcp(host: &str, port: u16) -> Target {
    Target::Tcp(host.to_owned(), port)
}

fn login(address: &Address) -> (Option<&str>, Option<&str>) {
    (address.username.as_deref(), address.password.as_deref())
}

#[test]
fn places() {
    for (url, target, database) in [
        ("redis://cache", tcp("cache", 6379), 0),
        ("redis://cache/", tcp("cache", 6379), 0),
        ("REDIS://cache:7000/3", tcp("cache", 7000), 3),
        ("redis://127.0.0.1:1/15", tcp("127.0.0.1", 1), 15),
        ("redis://[::1]", tcp("::1", 6379), 0),
        ("redis://[2001:db8::7]:65535/2", tcp("2001:db8::7", 65535), 2),
        ("localhost:6380", tcp("localhost", 6380), 0),
        (":6380", tcp("localhost", 6380), 0),
        ("[::1]:6380", tcp("::1", 6380), 0),
        ("redis:6379", tcp("redis", 6379), 0),
        ("unix:///run/redis.sock", Target::Unix("/run/redis.sock".into()), 0),
        ("unix:///a%20b.sock?db=4", Target::Unix("/a b.sock".into()), 4),
    ] {
        let address = parse(url).expect(url);
        assert_eq!((&address.target, address.database), (&target, database), "{url}");
        assert!(address.tls.is_none() && login(&address) == (None, None), "{url}");
    }
    assert!(parse("rediss://cache").expect("rediss").tls.is_some());
}

#[test]
fn logins() {
    for (url, expected) in [
        ("redis://:secret@h", (None, Some("secret"))),
        ("redis://ada:secret@h:1/2", (Some("ada"), Some("secret"))),
        ("redis://ada:@h", (Some("ada"), Some(""))),
        ("redis://@h", (None, None)),
        ("redis://:@h", (None, None)),
        ("redis://a%40b:p%3A%2F%23%25@h", (Some("a@b"), Some("p:/#%"))),
        ("redis://ada:p@ss:w@h", (Some("ada"), Some("p@ss:w"))),
        ("redis://ada:%C3%A4@h", (Some("ada"), Some("ä"))),
        ("unix:///s?user=ada&pass=p%26q", (Some("ada"), Some("p&q"))),
        ("unix:///s?pass=p+q", (None, Some("p+q"))),
        ("unix:///s?user=&pass=", (None, None)),
    ] {
        assert_eq!(login(&parse(url).expect(url)), expected, "{url}");
    }
}

#[test]
fn options_fill_in_what_the_url_leaves_out() {
    let with = |url: &str, user: &str, password: &str| {
        let (username, password) = (Some(user.to_owned()), Some(password.to_owned()));
        Address::parse(url, TlsAndAuth { username, password, ..TlsAndAuth::default() })
    };
    assert_eq!(login(&with("redis://h", "ada", "pw").expect("both")), (Some("ada"), Some("pw")));
    assert_eq!(login(&with("redis://eve@h", "ada", "pw").expect("url")), (Some("eve"), Some("pw")));
    assert_eq!(login(&with("redis://eve:x@h", "ada", "pw").expect("url")), (Some("eve"), Some("x")));
    assert_eq!(login(&with("redis://h", "", "").expect("neither")), (None, None));
    let error = with("redis://ada@h", "", "").expect_err("no password");
    assert!(error.message().starts_with("password must"), "{error}");
}

#[test]
fn refusals_name_the_url_and_what_is_allowed_and_never_the_secret() {
    for url in [
        "",
        "cache",
        "http://SECRET@h",
        "valkey://h",
        "redis://",
        "redis:///0",
        "redis://:6379",
        "redis://h:",
        "redis://h:0",
        "redis://h:+1",
        "redis://h:65536",
        "redis://h:1:2",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h/4294967296",
        "redis://::1",
        "redis://[::1",
        "redis://[::g]",
        "redis://[::1]x",
        "redis://h h",
        "redis://h\n",
        "redis://héé",
        "redis://ada:SECRET/x@h",
        "redis://ada:SECRET%@h",
        "redis://ada:SECRET%f@h",
        "redis://ada:SECRET%ff@h",
        "redis://ada:SECRET%zz@h",
        "redis://ada:SECRET@",
        "redis://ada:SECRET#@h",
        "redis://h?ssl_cert_reqs=none",
        "rediss://ada:SECRET@h#insecure",
        "rediss://h#other",
        "SECRET@h:1",
        "ada:SECRET@h",
        "unix://run/redis.sock",
        "unix://",
        "unix:///s#x",
        "unix:///s?pass=SECRET&timeout=3",
        "unix:///s?db=x",
        "unix:///a%00b",
    ] {
        let error = parse(url).expect_err(url);
        let text = format!("{error} {error:?}");
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{url}");
        assert!(text.contains("url must be memory://, redis://"), "{url}: {text}");
        assert!(!text.contains("SECRET") && !text.contains("ada"), "{text}");
    }
    assert!(parse(&format!("unix:///{}", "x".repeat(107))).is_err());
    let insecure = parse("rediss://h#insecure").expect_err("insecure");
    assert!(insecure.message().contains("#insecure"), "{insecure}");
}

#[test]
fn tls_options_need_tls() {
    for name in ["tls_ca", "tls_cert", "tls_key"] {
        let file = |option: &str| (option == name).then(|| "-----BEGIN SECRET".to_owned());
        let options = || TlsAndAuth {
            ca: file("tls_ca"),
            cert: file("tls_cert"),
            key: file("tls_key"),
            ..TlsAndAuth::default()
        };
        for url in ["redis://h", "unix:///s", "rediss://h"] {
            let error = Address::parse(url, options()).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidOption);
            assert!(error.message().contains("tls_") && !error.message().contains("SECRET"), "{error}");
        }
    }
}

#[test]
fn debug_output_has_no_login() {
    let text = format!("{:?}", parse("redis://ada:SECRET@h").expect("an address"));
    assert!(text.contains('h') && !text.contains("ada") && !text.contains("SECRET"), "{text}");
}
