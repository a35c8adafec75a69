//! The table of hard-won requirements names tests that exist.

use std::fs;
use std::path::Path;

#[test]
fn each_hard_won_line_has_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("HARD-WON.md")).unwrap();
    let rows: Vec<_> =
        table.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    for row in &rows {
        let tests = row.rsplit('|').nth(1).unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            let (module, name) = test.rsplit_once("::").unwrap();
            let module = module.replace("::", "/");
            let places = [
                format!("tests/it/{module}.rs"),
                format!("tests/it/{module}/mod.rs"),
                format!("src/{module}.rs"),
                format!("src/{module}/mod.rs"),
            ];
            let sources =
                places.iter().filter_map(|place| fs::read_to_string(root.join(place)).ok());
            let found = sources.collect::<String>().contains(&format!("fn {name}("));
            assert!(found, "{test} is named in {row}, and does not exist");
        }
    }
    assert!(rows.len() == 37, "{} of 37 lines have tests", rows.len());
}
