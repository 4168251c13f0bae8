//! Proofs out of a real ledger, checked without it; and a ledger whose files were merged.

use std::path::Path;

use arrow::compute::concat_batches;
use flyball_store::rows::{AuditRow, Row};
use flyball_store::{Proof, SignedHead, ledger_head, prove_growth, prove_record};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::fixture::{config, open};
use crate::ledger::{files, record, three_files, verify};

async fn proved(dir: &Path, seq: i64, under: Option<SignedHead>) -> Proof {
    prove_record(&config(dir), "default", seq, under)
        .await
        .unwrap()
}

async fn unproved(dir: &Path, seq: i64) -> String {
    let proof = prove_record(&config(dir), "default", seq, None).await;
    proof.unwrap_err().to_string()
}

#[tokio::test]
async fn records_in_files_and_in_the_log_are_proved() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    three_files(dir).await;
    let key = verify(dir).await.public_key.unwrap();
    let old = ledger_head(&config(dir), "default").await.unwrap().unwrap();
    assert_eq!(old.seq, 10);
    for seq in 1..=10 {
        assert_eq!(
            proved(dir, seq, None).await.check(Some(&key), Some(&old)),
            Ok(())
        );
    }
    let said = unproved(dir, 11).await;
    assert!(said.contains("sign those up to 10"), "{said}");
    assert!(unproved(dir, 0).await.contains("from 1"));
    // A second life; its checkpoint comes with a flush, the records after it are in the log only.
    let store = open(dir).await;
    for n in 21..=25 {
        record(&store, n).await;
    }
    store.close().await.unwrap();
    let store = open(dir).await;
    record(&store, 26).await;
    drop(store);
    let new = ledger_head(&config(dir), "default").await.unwrap().unwrap();
    assert_eq!(new.seq, 16);
    for (seq, signed) in [(1, 10), (10, 10), (11, 16), (16, 16)] {
        let proof = proved(dir, seq, None).await;
        assert_eq!(proof.heads()[0].seq, signed);
        assert_eq!(proof.check(Some(&key), None), Ok(()));
    }
    assert!(unproved(dir, 18).await.contains("record 18"));
    let under = proved(dir, 3, Some(new.clone())).await;
    assert_eq!(under.check(Some(&key), Some(&new)), Ok(()));
    let grown = prove_growth(&config(dir), "default", old.clone())
        .await
        .unwrap();
    assert_eq!(grown.check(Some(&key), Some(&old)), Ok(()));
    assert!(grown.heads()[1].says_as(&new));
    // The head file is a convenience: the ledger has the same.
    std::fs::remove_dir_all(dir.join("heads")).unwrap();
    assert_eq!(
        ledger_head(&config(dir), "default").await.unwrap(),
        Some(new)
    );
}

#[tokio::test]
async fn nothing_is_proved_past_damage() {
    let dir = tempfile::tempdir().unwrap();
    three_files(dir.path()).await;
    let first = &files(dir.path())[0];
    let mut bytes = std::fs::read(first).unwrap();
    bytes[200] ^= 1;
    std::fs::write(first, bytes).unwrap();
    let said = unproved(dir.path(), 7).await;
    assert!(
        said.contains("not as it was written") && said.contains("records 1 to 4"),
        "{said}"
    );
}

/// Two files of one day become one, as a compaction does it: written under the name the ledger gives, and one
/// commit that takes the old ones out.
fn merge(dir: &Path) -> (Vec<std::path::PathBuf>, std::path::PathBuf) {
    let all = files(dir);
    let day = |path: &Path| {
        path.parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let of_day: Vec<_> = all
        .iter()
        .filter(|path| day(path) == day(&all[0]))
        .cloned()
        .collect();
    assert_eq!(of_day.len(), 2);
    let mut batches = Vec::new();
    for path in &of_day {
        let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
    let seqs: Vec<_> = AuditRow::read(&rows)
        .unwrap()
        .iter()
        .map(|row| row.seq)
        .collect();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    let bytes = writer.into_inner().unwrap();
    let (first, last) = (seqs.iter().min().unwrap(), seqs.iter().max().unwrap());
    let sha = hex::encode(Sha256::digest(&bytes));
    let merged =
        of_day[0].with_file_name(format!("audit-{first:012}-{last:012}-{sha}.zstd.parquet"));
    std::fs::write(&merged, &bytes).unwrap();

    let log = dir.join("tables/default/audit/_delta_log");
    let versions = std::fs::read_dir(&log).unwrap().filter_map(|file| {
        let path = file.unwrap().path();
        path.file_stem()?.to_str()?.parse::<u64>().ok()
    });
    let version = versions.max().unwrap() + 1;
    let date = day(&of_day[0]).replace("date=", "");
    let mut actions = vec![json!({"add": {
        "path": format!("date={date}/{}", name(&merged)), "partitionValues": {"date": date},
        "size": bytes.len(), "modificationTime": 1_790_000_000_000_i64, "dataChange": false,
    }})];
    for path in &of_day {
        actions.push(json!({"remove": {
            "path": format!("date={date}/{}", name(path)), "partitionValues": {"date": date},
            "deletionTimestamp": 1_790_000_000_000_i64, "dataChange": false, "extendedFileMetadata": true,
            "size": std::fs::metadata(path).unwrap().len(),
        }}));
    }
    let text: Vec<String> = actions.iter().map(ToString::to_string).collect();
    std::fs::write(log.join(format!("{version:020}.json")), text.join("\n")).unwrap();
    (of_day, merged)
}

#[tokio::test]
async fn merged_files_are_the_same_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    three_files(dir).await;
    let before = verify(dir).await;
    let proof = proved(dir, 3, None).await;
    let (old, merged) = merge(dir);
    // With the old files still there, and after they were vacuumed.
    for vacuumed in [false, true] {
        let report = verify(dir).await;
        assert_eq!(report.findings, []);
        assert_eq!(
            (report.records, &report.head),
            (before.records, &before.head)
        );
        assert_eq!(report.files, before.files - 1);
        assert_eq!(proved(dir, 3, None).await, proof);
        if !vacuumed {
            old.iter()
                .for_each(|path| std::fs::remove_file(path).unwrap());
        }
    }
    let store = open(dir).await;
    record(&store, 30).await;
    store.close().await.unwrap();
    let report = verify(dir).await;
    assert_eq!(
        (report.findings, report.records),
        (Vec::new(), before.records + 2)
    );
    let sound = std::fs::read(&merged).unwrap();
    for at in [0, sound.len() / 2, sound.len() - 1] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        std::fs::write(&merged, bytes).unwrap();
        let found = verify(dir).await.findings;
        assert!(
            found[0]
                .to_string()
                .contains(merged.file_name().unwrap().to_str().unwrap())
        );
    }
}
