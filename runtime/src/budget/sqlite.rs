//! The ledger in SQLite. Sums are made here and not in SQL: SQLite has no decimals.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use rust_decimal::Decimal;
use tokio::sync::watch;

use super::{Account, Balance, Budget, Ledger, Opening, Short};
use crate::Error;
use crate::sqlite::Database;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS account (
    account TEXT PRIMARY KEY,
    limit_usd TEXT NOT NULL,
    spent_usd TEXT NOT NULL,
    reserved_usd TEXT NOT NULL,
    overshot_usd TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hold (
    hold_id TEXT PRIMARY KEY,
    execution_id TEXT NOT NULL,
    usd TEXT NOT NULL,
    accounts TEXT NOT NULL,
    expires_at_unix_nano INTEGER NOT NULL,
    expired INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hold_lease ON hold (expires_at_unix_nano) WHERE expired = 0;
CREATE INDEX IF NOT EXISTS hold_execution ON hold (execution_id);
CREATE TABLE IF NOT EXISTS output (
    agent TEXT NOT NULL,
    model TEXT NOT NULL,
    tokens TEXT NOT NULL,
    PRIMARY KEY (agent, model)
) STRICT, WITHOUT ROWID;
";

/// A ledger in one SQLite file (WAL, `synchronous=FULL`), or in memory. Several processes may share the
/// file: each operation takes SQLite's write lock.
#[derive(Debug)]
pub struct SqliteLedger {
    database: Database,
    settled: watch::Sender<u64>,
}

impl SqliteLedger {
    /// Opens (or creates) the file.
    ///
    /// # Errors
    /// When it can't be opened.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Database::open(&path, SCHEMA)).await;
        Ok(Self::on(opened.map_err(|_| Error::Closed)??))
    }

    /// A ledger that need not survive the process.
    ///
    /// # Errors
    /// When SQLite has no memory left.
    pub fn in_memory() -> Result<Self, Error> {
        Ok(Self::on(Database::in_memory(SCHEMA)?))
    }

    fn on(database: Database) -> Self {
        Self {
            database,
            settled: watch::Sender::new(0),
        }
    }

    fn tell(&self) {
        self.settled
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[async_trait::async_trait]
impl Ledger for SqliteLedger {
    async fn hold(&self, opening: Opening) -> Result<Result<(), Short>, Error> {
        let (expired, answer) = self
            .database
            .write(move |c| {
                let expired = expire(c, opening.at_unix_nano)?;
                if Hold::read(c, &opening.id)?.is_some() {
                    return Ok((expired, Ok(())));
                }
                if let Err(short) = reserve(c, &opening.accounts, opening.usd)? {
                    return Ok((expired, Err(short)));
                }
                let accounts =
                    serde_json::to_string(&opening.accounts).map_err(|source| Error::Corrupt {
                        what: "hold.accounts",
                        source,
                    })?;
                c.prepare_cached("INSERT INTO hold VALUES (?1, ?2, ?3, ?4, ?5, 0)")?
                    .execute(params![
                        opening.id,
                        opening.execution_id,
                        opening.usd.to_string(),
                        accounts,
                        opening.expires_at_unix_nano
                    ])?;
                Ok((expired, Ok(())))
            })
            .await?;
        if expired {
            self.tell();
        }
        Ok(answer)
    }

    async fn add(&self, id: &str, usd: Decimal) -> Result<Result<(), Short>, Error> {
        let id = id.to_owned();
        self.database
            .write(move |c| {
                let Some(hold) = Hold::read(c, &id)?.filter(|hold| !hold.expired) else {
                    return Err(Error::missing(format!("hold {id}"), "a hold that stands"));
                };
                if let Err(short) = reserve(c, &hold.accounts, usd)? {
                    return Ok(Err(short));
                }
                c.prepare_cached("UPDATE hold SET usd = ?2 WHERE hold_id = ?1")?
                    .execute(params![id, (hold.usd + usd).to_string()])?;
                Ok(Ok(()))
            })
            .await
    }

    async fn renew(&self, id: &str, expires_at_unix_nano: i64) -> Result<(), Error> {
        let id = id.to_owned();
        self.database
            .write(move |c| {
                let sql =
                    "UPDATE hold SET expires_at_unix_nano = ?2 WHERE hold_id = ?1 AND expired = 0";
                c.prepare_cached(sql)?
                    .execute(params![id, expires_at_unix_nano])?;
                Ok(())
            })
            .await
    }

    async fn settle(&self, id: &str, cost: Decimal) -> Result<(), Error> {
        let id = id.to_owned();
        self.database
            .write(move |c| match Hold::read(c, &id)? {
                Some(hold) => close(c, &id, &hold, cost),
                None => Ok(()),
            })
            .await?;
        self.tell();
        Ok(())
    }

    async fn recover(&self, execution_id: &str, noted: Option<&str>) -> Result<(), Error> {
        let (execution_id, noted) = (execution_id.to_owned(), noted.map(str::to_owned));
        self.database
            .write(move |c| {
                let ids: Vec<String> = c
                    .prepare_cached("SELECT hold_id FROM hold WHERE execution_id = ?1")?
                    .query_map([&execution_id], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                for id in ids {
                    if let Some(hold) = Hold::read(c, &id)? {
                        let made = noted.as_ref() == Some(&id);
                        close(c, &id, &hold, if made { hold.usd } else { Decimal::ZERO })?;
                    }
                }
                Ok(())
            })
            .await?;
        self.tell();
        Ok(())
    }

    async fn balances(&self) -> Result<Vec<Balance>, Error> {
        self.database
            .write(|c| {
                let mut statement = c.prepare_cached(
                    "SELECT account, limit_usd, spent_usd, reserved_usd, overshot_usd FROM account ORDER BY account",
                )?;
                let mut rows = statement.query([])?;
                let mut balances = Vec::new();
                while let Some(row) = rows.next()? {
                    balances.push(Balance {
                        account: row.get(0)?,
                        limit: decimal(&row.get::<_, String>(1)?)?,
                        spent: decimal(&row.get::<_, String>(2)?)?,
                        reserved: decimal(&row.get::<_, String>(3)?)?,
                        overshot: decimal(&row.get::<_, String>(4)?)?,
                    });
                }
                Ok(balances)
            })
            .await
    }

    async fn remember(&self, agent: &str, model: &str, outputs: Vec<u64>) -> Result<(), Error> {
        let (agent, model) = (agent.to_owned(), model.to_owned());
        let tokens = serde_json::json!(outputs).to_string();
        self.database
            .write(move |c| {
                c.prepare_cached("INSERT OR REPLACE INTO output VALUES (?1, ?2, ?3)")?
                    .execute(params![agent, model, tokens])?;
                Ok(())
            })
            .await
    }

    async fn remembered(&self) -> Result<Vec<(String, String, Vec<u64>)>, Error> {
        self.database
            .write(|c| {
                let mut statement = c.prepare_cached("SELECT agent, model, tokens FROM output")?;
                let mut rows = statement.query([])?;
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    let tokens =
                        serde_json::from_str(&row.get::<_, String>(2)?).map_err(|source| {
                            Error::Corrupt {
                                what: "output.tokens",
                                source,
                            }
                        })?;
                    all.push((row.get(0)?, row.get(1)?, tokens));
                }
                Ok(all)
            })
            .await
    }

    fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }
}

struct Hold {
    usd: Decimal,
    accounts: Vec<Account>,
    expired: bool,
}

impl Hold {
    fn read(c: &Connection, id: &str) -> Result<Option<Self>, Error> {
        let row: Option<(String, String, bool)> = c
            .prepare_cached("SELECT usd, accounts, expired FROM hold WHERE hold_id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((usd, accounts, expired)) = row else {
            return Ok(None);
        };
        Ok(Some(Self {
            usd: decimal(&usd)?,
            accounts: serde_json::from_str(&accounts).map_err(|source| Error::Corrupt {
                what: "hold.accounts",
                source,
            })?,
            expired,
        }))
    }
}

/// Sets aside on every account, or on none.
fn reserve(c: &Connection, accounts: &[Account], usd: Decimal) -> Result<Result<(), Short>, Error> {
    let mut after = Vec::with_capacity(accounts.len());
    for account in accounts {
        let (mut budget, overshot) = read(c, account)?;
        if let Err(refused) = budget.reserve(usd) {
            return Ok(Err(Short {
                account: account.name.clone(),
                needed: usd,
                limit: account.limit,
                spent: refused.spent,
                reserved: refused.reserved,
            }));
        }
        after.push((account, budget, overshot));
    }
    for (account, budget, overshot) in after {
        write(c, account, &budget, overshot)?;
    }
    Ok(Ok(()))
}

/// Ends a hold with what it did cost. One that had expired was entered as spent already.
fn close(c: &Connection, id: &str, hold: &Hold, cost: Decimal) -> Result<(), Error> {
    for account in &hold.accounts {
        let (mut budget, overshot) = read(c, account)?;
        if hold.expired {
            budget.take_back(hold.usd);
            budget.settle(Decimal::ZERO, cost);
        } else {
            budget.settle(hold.usd, cost);
        }
        let over = (cost - hold.usd).max(Decimal::ZERO);
        write(c, account, &budget, overshot + over)?;
    }
    c.prepare_cached("DELETE FROM hold WHERE hold_id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Enters what is held beyond its lease as spent; says whether there was any.
fn expire(c: &Connection, now: i64) -> Result<bool, Error> {
    let ids: Vec<String> = c
        .prepare_cached("SELECT hold_id FROM hold WHERE expired = 0 AND expires_at_unix_nano < ?1")?
        .query_map([now], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        let Some(hold) = Hold::read(c, id)? else {
            continue;
        };
        for account in &hold.accounts {
            let (mut budget, overshot) = read(c, account)?;
            budget.settle(hold.usd, hold.usd);
            write(c, account, &budget, overshot)?;
        }
        c.prepare_cached("UPDATE hold SET expired = 1 WHERE hold_id = ?1")?
            .execute([id])?;
    }
    Ok(!ids.is_empty())
}

/// An account as it stands, under the limit it has now; a new one when there is none.
fn read(c: &Connection, account: &Account) -> Result<(Budget, Decimal), Error> {
    let row: Option<(String, String, String)> = c
        .prepare_cached(
            "SELECT spent_usd, reserved_usd, overshot_usd FROM account WHERE account = ?1",
        )?
        .query_row([&account.name], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    match row {
        Some((spent, reserved, overshot)) => {
            let budget = Budget::standing(account.limit, decimal(&spent)?, decimal(&reserved)?);
            Ok((budget, decimal(&overshot)?))
        }
        None => Ok((Budget::new(Some(account.limit)), Decimal::ZERO)),
    }
}

fn write(
    c: &Connection,
    account: &Account,
    budget: &Budget,
    overshot: Decimal,
) -> Result<(), Error> {
    c.prepare_cached("INSERT OR REPLACE INTO account VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            account.name,
            account.limit.to_string(),
            budget.spent().to_string(),
            budget.reserved().to_string(),
            overshot.to_string()
        ])?;
    Ok(())
}

fn decimal(text: &str) -> Result<Decimal, Error> {
    text.parse()
        .map_err(|_| Error::invalid("ledger amount", text, "a decimal of US dollars"))
}
