//! The comparison from end to end, on a storm that is too small for useful figures.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_comparison_writes_its_table_its_figures_and_its_charts() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compare-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let document = dir.join("performance.md");
    fs::write(&document, "before\n<!-- figures: cost -->\nold\n<!-- end of figures -->\nafter\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_psn-compare"))
        .env("PSN_STORM", env!("CARGO_BIN_EXE_psn-storm"))
        // This test runs psn only to ask for its version.
        .args(["--psn", "/bin/true", "--only", "floor-open*,floor-path,floor-list,sleeper"])
        .args(["--peer", "sleeper=sleep 0.0{ticks}"])
        .args(["--threads", "60", "--processes", "2", "--workers", "1", "--runs", "2", "--seconds", "0.1"])
        .arg("--out")
        .arg(&dir)
        .arg("--update-docs")
        .arg(&document)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let endings = [".md", ".json", "-cost.svg", "-throughput.svg"];
    let files: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for ending in endings {
        assert!(files.iter().any(|name| name.ends_with(ending)), "{ending}: {files:?}");
    }
    let raw = files.iter().find(|name| name.ends_with(".json")).unwrap();
    let raw: serde_json::Value = serde_json::from_slice(&fs::read(dir.join(raw)).unwrap()).unwrap();
    let steps = raw["storms"][0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5, "three floors, one of them flat out as well, and a peer: {steps:?}");
    for step in steps {
        assert_eq!(step["error"], serde_json::Value::Null, "{step}");
        for run in step["runs"].as_array().unwrap() {
            assert!(run["passes"].as_f64().unwrap() >= 1.0 && run["tasks"].as_u64().unwrap() >= 60, "{step}");
        }
    }
    let document = fs::read_to_string(document).unwrap();
    assert!(document.starts_with("before\n") && document.ends_with("after\n") && document.contains("| sleeper |"));
    fs::remove_dir_all(dir).unwrap();
}
