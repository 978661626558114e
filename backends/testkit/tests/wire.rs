//! The wire server answers what it was told, byte for byte and break for break.
#![cfg(feature = "wire")]
#![allow(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use strongroom_backend_testkit::wire::{Reply, Wire};

/// Sends a request and returns all that comes back until the connection ends.
fn ask(server: &Wire, target: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Mark: b\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn records_the_raw_target_and_headers() {
    let server = Wire::http(|_| Reply::json(201, "{}"));
    let answer = ask(&server, "/a%2f../b?c=%00");
    assert!(answer.starts_with(b"HTTP/1.1 201"));
    assert!(answer.ends_with(b"{}"));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].target, "/a%2f../b?c=%00");
    assert_eq!(requests[0].path(), "/a%2f../b");
    assert_eq!(requests[0].header("x-mark"), Some("b"));
    server.forget();
    assert!(server.requests().is_empty());
}

#[test]
fn a_cut_reply_promises_more_than_it_sends() {
    let server = Wire::http(|_| Reply::cut(200, "0123456789"));
    let answer = String::from_utf8(ask(&server, "/")).unwrap();
    assert!(answer.contains("content-length: 10"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n01234"), "{answer}");
}

#[test]
fn a_large_reply_is_as_long_as_it_was_told() {
    let server = Wire::http(|_| Reply::endless(200, 3 << 20));
    let answer = ask(&server, "/");
    assert!(answer.len() > 3 << 20);
}

#[test]
fn hanging_and_closing_give_nothing() {
    let server = Wire::http(|request| match request.target.as_str() {
        "/close" => Reply::Close,
        _ => Reply::After(Duration::from_millis(200), Box::new(Reply::status(204))),
    });
    assert!(ask(&server, "/close").is_empty());
    let start = Instant::now();
    assert!(ask(&server, "/late").starts_with(b"HTTP/1.1 204"));
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn it_ends_with_connections_open() {
    let server = Wire::http(|_| Reply::Hang);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(server.requests().len(), 1);
    drop(server);
    let mut rest = Vec::new();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
}
