//! One database shared by many tasks: a small web shop's backend without the web.
//!
//! Customers are Tokio tasks on all cores. They look products up, keep a cart that expires when it is left alone, and
//! buy, which must never sell more than there is. All of them hold a clone of the same [`Db`]; none of them waits for
//! a network, and the library itself knows nothing of the runtime.
//!
//! ```sh
//! cargo run --release -p redpoll --example shared_db
//! ```

use redpoll::{Config, Db, Result};
use std::time::{Duration, Instant};

const CUSTOMERS: u64 = 1_000;
const VISITS: u64 = 100;
const PRODUCTS: u64 = 50;
const STOCK: i64 = 500;

/// What one customer does. Calls are plain functions: they take some nanoseconds and never block a worker thread.
async fn shop(db: Db, customer: u64) -> Result<i64> {
    let cart = format!("cart:{customer}");
    let mut bought = 0;
    for visit in 0..VISITS {
        let product = (customer * 7 + visit * 13) % PRODUCTS;
        let Some(price) = db.get(format!("product:{product}:price"))? else {
            continue;
        };
        db.append(&cart, format!("{product}@{} ", price.to_string_lossy()))?;
        db.expire(&cart, Duration::from_secs(1800))?;
        // Take one out of stock, and put it back if there was none left.
        let stock = format!("product:{product}:stock");
        if db.decr(&stock)? >= 0 {
            bought += 1;
        } else {
            db.incr(&stock)?;
        }
        // Let other customers have their turn on this thread.
        tokio::task::yield_now().await;
    }
    db.setbit("customers:seen", customer, true)?;
    Ok(bought)
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Db::open(Config::default())?;
    for product in 0..PRODUCTS {
        db.set(format!("product:{product}:price"), 100 + product)?;
        db.set(format!("product:{product}:stock"), STOCK)?;
    }

    let began = Instant::now();
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|c| tokio::spawn(shop(db.clone(), c)))
        .collect();
    let mut sold = 0;
    for customer in customers {
        sold += customer.await.expect("a customer panicked")?;
    }
    let took = began.elapsed();

    let mut left = 0;
    for product in 0..PRODUCTS {
        // Counting down to zero and back up again, so never below.
        left += db.incr_by(format!("product:{product}:stock"), 0)?;
    }
    assert_eq!(
        sold + left,
        PRODUCTS as i64 * STOCK,
        "nothing is sold twice and nothing gets lost"
    );
    let carts = db.scan().matching("cart:*").batch(1000).count();
    println!(
        "{} customers came, {carts} of them have a cart",
        db.bitcount("customers:seen", ..)?
    );
    println!("sold {sold} items, {left} are left");
    println!(
        "{:.0} visits a second",
        (CUSTOMERS * VISITS) as f64 / took.as_secs_f64()
    );
    Ok(())
}
