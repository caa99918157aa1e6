use manycast_proto::norm::fec::{Code, Variant};
use std::time::Instant;
fn main() {
    for (k, p) in [(64usize, 16usize), (64, 32), (64, 8), (64, 1)] {
        let len = 1400;
        let src: Vec<Vec<u8>> = (0..k)
            .map(|i| (0..len).map(|j| (i * 7 + j * 13) as u8).collect())
            .collect();
        let s: Vec<&[u8]> = src.iter().map(Vec::as_slice).collect();
        let code = Code::new(Variant::Nrl, k, p);
        let mut par = vec![vec![0u8; len]; p];
        let n = 5;
        let mut best = f64::MAX;
        let mut bestd = f64::MAX;
        for _ in 0..400 {
            let t = Instant::now();
            for _ in 0..n {
                let mut o: Vec<&mut [u8]> = par.iter_mut().map(Vec::as_mut_slice).collect();
                code.encode(&s, 0, &mut o);
            }
            best = best.min(t.elapsed().as_secs_f64());
            let e = best;
            let _ = e;
            if false {
                println!(
                    "encode {k}+{p}: {:.2} GB/s of source",
                    (n * k * len) as f64 / e / 1e9
                );
            }
            let mut lost = vec![vec![0u8; len]; p];
            let t = Instant::now();
            for _ in 0..n {
                let known: Vec<(usize, &[u8])> = (p..k)
                    .map(|i| (i, s[i]))
                    .chain((0..p).map(|i| (k + i, &par[i][..])))
                    .collect();
                let mut o: Vec<(usize, &mut [u8])> =
                    lost.iter_mut().map(Vec::as_mut_slice).enumerate().collect();
                code.decode(k, &known, &mut o);
            }
            bestd = bestd.min(t.elapsed().as_secs_f64());
            let e = bestd;
        }
        let e = bestd;
        println!("encode {:.2}", (n * k * len) as f64 / best / 1e9);
        println!(
            "decode {k}, {p} lost: {:.2} GB/s of source",
            (n * k * len) as f64 / e / 1e9
        );
    }
}
