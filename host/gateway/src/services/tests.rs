use std::net::IpAddr;

use super::address::is_public;
use super::outgoing::check_url;
use super::tokens;

#[test]
fn only_addresses_of_the_public_internet_are_public() {
    let inside = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ];
    for text in inside {
        assert!(!is_public(text.parse::<IpAddr>().unwrap()), "{text}");
    }
    let outside = [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.169.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ];
    for text in outside {
        assert!(is_public(text.parse::<IpAddr>().unwrap()), "{text}");
    }
}

#[test]
fn an_inside_address_needs_a_grant_of_exactly_itself() {
    let granted = [
        "127.0.0.1:9000".to_owned(),
        "localhost:80".to_owned(),
        "*.example.com".to_owned(),
    ];
    for url in [
        "http://127.0.0.1:9000/x",
        "http://localhost/",
        "https://a.example.com/",
        "http://1.1.1.1/",
    ] {
        assert!(check_url(url, &granted).is_ok(), "{url}");
    }
    let refused = [
        "http://127.0.0.1/",
        "http://127.0.0.1:9001/",
        "http://127.0.0.2:9000/",
        "http://localhost:81/",
        "http://[::1]:9000/",
        "http://0x7f000001:9000/",
        "http://2130706433:9000/",
        "http://127.1:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://169.254.169.254/latest",
        "http://a.example.com\\@10.0.0.1/",
        "http:///x",
        "nonsense",
    ];
    for url in refused {
        assert!(check_url(url, &granted).is_err(), "{url}");
    }
}

#[test]
fn tokens_are_counted_by_the_models_own_tokenizer() {
    assert_eq!(tokens::count("gpt-4", "hello world"), 2);
    assert_eq!(tokens::count("openai/gpt-4o", "hello world"), 2);
    assert_eq!(tokens::count("claude-sonnet-4", ""), 0);
    let long = "hello world ".repeat(50_000);
    let counted = tokens::count("gpt-4o", &long);
    assert!((95_000..160_000).contains(&counted), "{counted}");
}
