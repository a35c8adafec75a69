//! A request's path: never a panic, and what is accepted prints and reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use valuation_server::domain::Vrm;
use valuation_server::http::router::{Resource, decode_vrm, valuation_path};

fuzz_target!(|path: &str| {
    let Some(resource) = Resource::at(path) else { return };
    assert!(resource.allow().ends_with("OPTIONS"));
    let segment = match resource {
        Resource::Home => return assert_eq!(path, "/"),
        Resource::Server => return assert_eq!(path, "*"),
        Resource::Description(part) => return assert_eq!(path, part.path()),
        Resource::Asset(name) => {
            assert!(!name.contains('/'));
            return assert_eq!(path.strip_prefix("/assets/"), Some(name));
        }
        Resource::Valuation(segment) => segment,
    };
    let Ok(vrm) = decode_vrm(segment) else { return };
    assert!((1..=Vrm::MAX_UNITS).contains(&vrm.as_str().encode_utf16().count()));
    assert!(!vrm.as_str().chars().any(char::is_control));
    let printed = valuation_path(&vrm);
    assert!(printed.is_ascii() && printed.matches('/').count() == 2, "{printed}");
    match Resource::at(&printed) {
        Some(Resource::Valuation(segment)) => assert_eq!(decode_vrm(segment), Ok(vrm)),
        other => panic!("{printed} is {other:?}"),
    }
});
