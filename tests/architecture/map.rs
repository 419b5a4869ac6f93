//! Finds files that a map of rooms names and that do not exist.

/// The faults of the table of rooms in `text`: each row begins with a room in backticks, and names files and directories in it in
/// backticks. `paths` are those below `src/`; directories end with a slash.
pub fn faults(text: &str, paths: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for row in text.lines() {
        let Some((room, rest)) = row.strip_prefix("| `").and_then(|row| row.split_once("/` |")) else { continue };
        let room = format!("{room}/");
        if !paths.contains(&room) {
            faults.push(format!("there is no {room}"));
            continue;
        }
        let names = rest.split('`').skip(1).step_by(2);
        for name in names.filter(|name| name.ends_with(".rs") || name.ends_with('/')) {
            let end = format!("/{name}");
            if !paths.iter().any(|path| path.starts_with(&room) && path.ends_with(&end)) {
                faults.push(format!("{room}: there is no {name}"));
            }
        }
    }
    faults
}

#[test]
fn a_file_that_does_not_exist_is_told() {
    let map = "| `count/` | counting | folds: `fold.rs`. `--max-memory`: `store.rs`, `tables/`, `thing.rs` |\n| `shop/` | | `x.rs` |\n";
    let paths = ["count/", "count/fold.rs", "count/old/store.rs", "shop/x.rs", "count/tables/"].map(String::from);
    assert_eq!(faults(map, &paths), ["count/: there is no thing.rs", "there is no shop/"]);
}
