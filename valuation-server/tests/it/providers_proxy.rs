//! The providers through an egress proxy.

use valuation_server::domain::ErrorCode;
use valuation_server::providers::{BaseUrl, Transport};

use crate::stub::{AMPLE, GOOD_JSON, Stub, ask, response, supercar_over};
use crate::tls_stub::Authority;

fn through(stub: &Stub, credentials: &str) -> Transport {
    let proxy = BaseUrl::parse(&format!("http://{credentials}{}", stub.address)).unwrap();
    Transport { proxy: Some(proxy), ..Transport::default() }
}

#[tokio::test]
async fn a_plain_request_goes_to_the_proxy_with_its_whole_url_and_the_proxys_credentials() {
    let proxy = Stub::start(vec![response("200 OK", GOOD_JSON.as_bytes())]).await;
    let url = "http://supercar.invalid/v1";
    let mut service = supercar_over(url, AMPLE, &through(&proxy, "me:p%40ss@"));
    for _ in 0..2 {
        assert!(ask(&mut service, "AA99BCD").await.0.is_ok());
    }
    let head = &proxy.heads()[1];
    let line = "GET http://supercar.invalid/v1/valuations/AA99BCD?mileage=10000 HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
    // Base64 of me:p@ss
    assert!(head.to_lowercase().contains("proxy-authorization: basic bwu6cebzcw=="), "{head}");
    assert_eq!(proxy.connections(), 2, "a connection carries one request");
    assert!(!format!("{service:?}").contains("p%40ss"), "{service:?}");
}

#[tokio::test]
async fn a_tunnel_that_the_proxy_refuses_is_connect() {
    let proxy = Stub::start(vec![response("407 Proxy Authentication Required", b"")]).await;
    let own = Authority::new();
    let transport = Transport { ca: Some(own.trusted()), ..through(&proxy, "") };
    let mut service = supercar_over("https://supercar.invalid", AMPLE, &transport);
    let (_, call) = ask(&mut service, "AA99BCD").await;
    let (code, message) = call.error.unwrap();
    assert_eq!(code, ErrorCode::Connect, "{message}");
    assert!(proxy.heads()[0].starts_with("CONNECT supercar.invalid:443 "), "{:?}", proxy.heads());
}
