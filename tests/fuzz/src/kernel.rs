//! What the running kernel says about itself.

use psn::kernel::bpf::btf::Btf;
use psn::kernel::layout::KernelLayout;

/// BTF: members are found at the offsets that the BTF gives, and cyclic or very large types do not loop for ever.
pub fn btf(data: &[u8]) {
    let Ok(btf) = Btf::parse(data) else { return };
    assert!(btf.len() * 12 <= data.len(), "each type takes twelve bytes at least");
    for name in ["bpf_iter_task", "bpf_iter_task_new", "", "task_struct"] {
        let functions = btf.functions(&[name]);
        assert!(functions.keys().all(|found| *found == name));
        assert!(
            functions.values().all(|id| (1..=btf.len()).contains(&(*id as usize))),
            "{name} is no type of this BTF"
        );
    }
    assert!(btf.enumerators(&["BPF_TASK_ITER_ALL_THREADS", "MINUS", "HUGE", ""]).len() <= 4);
    for structure in btf.structures(&["task_struct", "pt_regs", "thread_info", "pid", ""]).values() {
        for path in [&["state"][..], &["comm"], &["thread_info", "cpu"], &["deeper"], &["bit"], &["x"], &["", ""], &[]]
        {
            let (member, field) = (structure.member(path), structure.field(path));
            assert_eq!(field, member.and_then(psn::kernel::bpf::btf::Member::bytes), "{path:?}");
            let Some(field) = field else { continue };
            assert!(field.size > 0);
            if let Some(element) = field.element(1, 8) {
                assert!(element.offset == field.offset + 8 && field.size >= 16, "{path:?}: outside of its array");
            }
        }
    }
    let _ = KernelLayout::find(&btf);
}
