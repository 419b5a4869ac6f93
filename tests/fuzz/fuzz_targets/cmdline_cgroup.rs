#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| psn_fuzz::cmdline_cgroup(data));
