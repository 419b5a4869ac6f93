use psn::plan::StateGate;
use psn::procfs::ProcRoot;
use psn::scan::kernel::{BareWalk, KernelScan, Level, Parts, Request};
fn main() {
    let root = ProcRoot::open("/proc".as_ref()).unwrap();
    for level in [Level::OpenCoded, Level::Iterator] {
        for parts in [Parts::default(), Parts { uid: true, syscall: true, frames: 16 }] {
            let request = Request { gate: StateGate::all(), parts, levels: vec![level], ..Request::default() };
            match KernelScan::open(&root, &request) {
                Ok(mut scan) => {
                    let mut n = 0;
                    let walk = scan.walk(&mut |r| { n += 1; if n < 200 && n % 10 == 0 { println!("{r:?} {}", String::from_utf8_lossy(r.comm())); } }).unwrap();
                    println!("{level} {walk:?}");
                }
                Err(e) => { println!("{e}"); if let psn::scan::kernel::Unavailable::Verifier { log, .. } = e { println!("{}", &log[log.len().saturating_sub(3000)..]); } }
            }
        }
    }
    println!("{:?}", BareWalk::open(&root).map(|mut b| b.run()));
}
