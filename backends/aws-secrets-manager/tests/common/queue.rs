//! A queue before a server that cannot take two requests at once.
//!
//! moto keeps its secrets in a dictionary that its threads share without a lock: a request that comes
//! while another one writes may be answered with 500. Calls still meet between their requests, in any order.

use std::io::{Read, Write};
use std::net::TcpStream;

use strongroom_backend_testkit::wire::{Reply, Request, Wire};

/// A server that passes each request on to the one at `url`, when the one before is answered. moto keeps
/// the tables of each `account`, of 12 digits, apart.
pub(crate) fn before(url: &str, account: &str) -> Wire {
    let account = account.to_owned();
    let address = url
        .strip_prefix("http://")
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    Wire::http(move |request| pass(&address, &account, request).unwrap_or(Reply::Close))
}

fn pass(address: &str, account: &str, request: &Request) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    // A body in a packet of its own would wait for the answer to the head's, for 40 ms.
    stream.set_nodelay(true).ok()?;
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        if name != "connection" {
            head.push_str(&format!("{name}: {}\r\n", std::str::from_utf8(value).ok()?));
        }
    }
    head.push_str(&format!(
        "x-moto-account-id: {account}\r\nconnection: close\r\n\r\n"
    ));
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&request.body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let date = head.lines().find_map(|line| line.strip_prefix("Date: "));
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(date.map(|date| ("date".to_owned(), date.to_owned())));
    Some(Reply::Whole {
        status,
        headers,
        body,
    })
}
