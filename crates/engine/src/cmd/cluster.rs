//! CLUSTER and its kin, as a server answers them that is not part of a cluster.
//!
//! Redpoll is one machine's server and never part of a cluster, which is what `cluster-enabled no` is elsewhere. The commands are
//! known nevertheless, with their arity, flags and categories: clients ask `CLUSTER SLOTS`, `INFO` or `NODES` to find out whom they
//! speak to and take this very error for a no, and rules of users (`-cluster|reset`, in ACL files of other servers) name them.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::dump::restore;
use crate::context::command::{
    ADMIN, ASKING, Command, DENYOOM, FAST, Group, KS_NOT_KEY, KS_OW, KS_UPDATE, KeySpec, LOADING,
    NO_ASYNC_LOADING, NOSCRIPT, READONLY, STALE, WRITE, container, row,
};
use crate::context::ctx::Ctx;
use crate::table::categories::{CAT_CONNECTION, CAT_DANGEROUS, CAT_KEYSPACE};
use crate::table::docs::SYSCMD;

/// Changes the cluster: for administrators.
const CHANGES: u64 = ADMIN | STALE | NO_ASYNC_LOADING;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("asking", 1, FAST, Group::Cluster, "3.0.0", disabled)
        .acl(CAT_CONNECTION)
        .docs("Says that the next command follows a redirection to a slot that is on its way.", "O(1)"),
    container("cluster", Group::Cluster, "3.0.0", CLUSTER_COMMANDS)
        .docs("Holds the commands about clusters.", "Depends on the subcommand"),
    row("clusterscan", -2, READONLY, Group::Cluster, "9.1.0", disabled)
        .keys(&[KeySpec::at(1, KS_NOT_KEY)])
        .args("cursor [MATCH match-pattern:pattern] [COUNT count:int] [TYPE type] [SLOT slot:int]")
        .acl(CAT_KEYSPACE)
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .docs("Iterates over the keys of a cluster.", "O(N), N being the number of elements returned"),
    row("readonly", 1, FAST | LOADING | STALE, Group::Cluster, "3.0.0", disabled)
        .acl(CAT_CONNECTION)
        .docs("Lets a connection to a replica of a cluster read.", "O(1)"),
    row("readwrite", 1, FAST | LOADING | STALE, Group::Cluster, "3.0.0", disabled)
        .acl(CAT_CONNECTION)
        .docs("Ends what READONLY began.", "O(1)"),
    row("restore-asking", -4, WRITE | DENYOOM | ASKING | SYSCMD, Group::Server, "3.0.0", restore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE)])
        .args("key ttl:int serialized-value [REPLACE@3.0.0] [ABSTTL@5.0.0] \
               [IDLETIME seconds:int@5.0.0] [FREQ frequency:int@5.0.0]")
        .acl(CAT_KEYSPACE | CAT_DANGEROUS)
        .docs("Is RESTORE, sent by a server that gives a slot away.", "That of RESTORE")
        .history(&[
            ("3.0.0", "New option REPLACE."),
            ("5.0.0", "New option ABSTTL."),
            ("5.0.0", "New options IDLETIME and FREQ."),
        ]),
    row("trimslots", -5, WRITE, Group::Server, "8.4.0", disabled)
        .args("RANGES{numranges:int slots{startslot:int endslot:int}...}")
        .acl(CAT_KEYSPACE | CAT_DANGEROUS)
        .docs("Removes the keys of slots that are elsewhere now.", "O(N), N being the number of keys in all databases"),
];

/// The subcommands of CLUSTER.
#[rustfmt::skip]
const CLUSTER_COMMANDS: &[Command] = &[
    row("cluster|addslots", -3, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("slot:int...").docs("Assigns slots to this node.", "O(N), N being the number of slots"),
    row("cluster|addslotsrange", -4, CHANGES, Group::Cluster, "7.0.0", disabled)
        .args("range{start-slot:int end-slot:int}...")
        .docs("Assigns ranges of slots to this node.", "O(N), N being the number of slots"),
    row("cluster|bumpepoch", 2, CHANGES, Group::Cluster, "3.0.0", disabled)
        .tips(&["nondeterministic_output"]).docs("Raises the epoch of the node's configuration.", "O(1)"),
    row("cluster|cancelslotmigrations", 2, CHANGES, Group::Cluster, "9.0.0", disabled)
        .docs("Ends the migrations of slots that this node has begun.", "O(N), N being their number"),
    row("cluster|count-failure-reports", 3, ADMIN | STALE, Group::Cluster, "3.0.0", disabled)
        .args("node-id").tips(&["nondeterministic_output"])
        .docs("Counts the reports that a node has failed.", "O(N), N being their number")
        .history(&[("9.0.0", "Reports about a node that is known to have failed are passed over.")]),
    row("cluster|countkeysinslot", 3, STALE, Group::Cluster, "3.0.0", disabled)
        .args("slot:int").docs("Counts the keys in a slot.", "O(1)"),
    row("cluster|delslots", -3, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("slot:int...").docs("Forgets who serves slots.", "O(N), N being the number of slots"),
    row("cluster|delslotsrange", -4, CHANGES, Group::Cluster, "7.0.0", disabled)
        .args("range{start-slot:int end-slot:int}...")
        .docs("Forgets who serves ranges of slots.", "O(N), N being the number of slots"),
    row("cluster|failover", -2, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("[options(FORCE | TAKEOVER)]").docs("Puts this replica in its primary's place.", "O(1)"),
    row("cluster|flushslot", -3, WRITE | ADMIN | NO_ASYNC_LOADING, Group::Cluster, "9.0.0", disabled)
        .args("slot:int [flush-type(ASYNC | SYNC)]").acl(CAT_KEYSPACE)
        .docs("Removes all keys of a slot.", "O(N), N being the number of its keys"),
    row("cluster|flushslots", 2, CHANGES, Group::Cluster, "3.0.0", disabled)
        .docs("Forgets who serves any slot.", "O(1)"),
    row("cluster|forget", 3, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("node-id").docs("Removes a node from those that are known.", "O(1)"),
    row("cluster|getkeysinslot", 4, STALE, Group::Cluster, "3.0.0", disabled)
        .args("slot:int count:int").tips(&["nondeterministic_output"])
        .docs("Returns keys of a slot.", "O(N), N being the number of keys asked for"),
    row("cluster|getslotmigrations", 2, CHANGES, Group::Cluster, "9.0.0", disabled)
        .docs("Tells of migrations of slots, under way and over.", "O(N), N being their number"),
    row("cluster|help", 2, LOADING | STALE, Group::Cluster, "5.0.0", disabled)
        .docs("Lists the subcommands of CLUSTER.", "O(1)"),
    row("cluster|info", 2, LOADING | STALE, Group::Cluster, "3.0.0", disabled)
        .tips(&["nondeterministic_output"]).docs("Tells how the cluster is.", "O(1)"),
    row("cluster|keyslot", 3, STALE, Group::Cluster, "3.0.0", disabled)
        .args("key:string").docs("Returns the slot of a key.", "O(N), N being the length of the key"),
    row("cluster|links", 2, STALE, Group::Cluster, "7.0.0", disabled)
        .tips(&["nondeterministic_output"])
        .docs("Lists the connections between this node and the others.", "O(N), N being the number of nodes"),
    row("cluster|meet", -4, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("ip port:int [cluster-bus-port:int@4.0.0]").docs("Makes this node known to another.", "O(1)")
        .history(&[("4.0.0", "New option cluster-bus-port.")]),
    row("cluster|migrateslots", -4, CHANGES, Group::Cluster, "9.0.0", disabled)
        .args("migration-group{slotsrange-token=SLOTSRANGE range{start-slot:int end-slot:int}... node-token=NODE node-id}...")
        .docs("Gives slots with their keys to other nodes.", "O(N), N being the number of slots"),
    row("cluster|migration", -4, CHANGES, Group::Cluster, "8.4.0", disabled)
        .args("subcommand(IMPORT{start-slot:int end-slot:int}... | CANCEL cancel(ID task-id | ALL) | STATUS status([ID task-id] | [ALL]))")
        .docs("Begins, ends and shows migrations of slots.", "O(N), N being the number of slots"),
    row("cluster|myid", 2, LOADING | STALE, Group::Cluster, "3.0.0", disabled)
        .docs("Returns the node's id.", "O(1)"),
    row("cluster|myshardid", 2, LOADING | STALE, Group::Cluster, "7.2.0", disabled)
        .tips(&["nondeterministic_output"]).docs("Returns the id of the node's shard.", "O(1)"),
    row("cluster|nodes", 2, LOADING | STALE, Group::Cluster, "3.0.0", disabled)
        .tips(&["nondeterministic_output"])
        .docs("Lists the nodes as this one sees them.", "O(N), N being the number of nodes"),
    row("cluster|replicas", 3, ADMIN | STALE, Group::Cluster, "5.0.0", disabled)
        .args("node-id").tips(&["nondeterministic_output"])
        .docs("Lists the replicas of a primary.", "O(N), N being their number"),
    row("cluster|replicate", -3, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("args(node-id | no-one{NO ONE}@9.0.0)").docs("Makes this node a replica of another.", "O(1)")
        .history(&[("9.0.0", "NO ONE detaches a replica from its primary.")]),
    row("cluster|reset", -2, ADMIN | STALE | NOSCRIPT, Group::Cluster, "3.0.0", disabled)
        .args("[reset-type(HARD | SOFT)]")
        .docs("Has this node forget its cluster.", "O(N), N being the number of nodes; it may remove all keys"),
    row("cluster|saveconfig", 2, CHANGES, Group::Cluster, "3.0.0", disabled)
        .docs("Writes the file with what is known of the cluster.", "O(1)"),
    row("cluster|set-config-epoch", 3, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("config-epoch:int").docs("Sets the epoch of a new node.", "O(1)"),
    row("cluster|setslot", -4, CHANGES, Group::Cluster, "3.0.0", disabled)
        .args("slot:int subcommand(IMPORTING importing<node-id> | MIGRATING migrating<node-id> | NODE node<node-id> | STABLE) \
               [TIMEOUT timeout:int@8.0.0]")
        .docs("Says where a slot is, or goes.", "O(1)").history(&[("8.0.0", "New option TIMEOUT.")]),
    row("cluster|shards", 2, LOADING | STALE, Group::Cluster, "7.0.0", disabled)
        .tips(&["nondeterministic_output"])
        .docs("Lists the shards with their slots and nodes.", "O(N), N being the number of nodes")
        .history(&[("9.1.0", "A shard's id, and a node's availability zone.")]),
    row("cluster|slaves", 3, ADMIN | STALE, Group::Cluster, "3.0.0", disabled)
        .args("node-id").tips(&["nondeterministic_output"]).deprecated("5.0.0", "`CLUSTER REPLICAS`")
        .docs("Lists the replicas of a primary.", "O(N), N being their number"),
    row("cluster|slot-stats", -4, LOADING | STALE, Group::Cluster, "8.0.0", disabled)
        .args("filter(SLOTSRANGE{start-slot:int end-slot:int} | ORDERBY{metric [LIMIT limit:int] [order(ASC | DESC)]})")
        .tips(&["nondeterministic_output", "request_policy:all_shards"])
        .docs("Tells how slots are used.", "O(N), N being the number of slots; O(N*log(N)) with ORDERBY"),
    row("cluster|slots", 2, LOADING | STALE, Group::Cluster, "3.0.0", disabled)
        .tips(&["nondeterministic_output"])
        .docs("Lists ranges of slots with the nodes that serve them.", "O(N), N being the number of nodes")
        .history(&[("4.0.0", "Ids of nodes."), ("7.0.0", "More about how nodes are reached."), ("9.1.0", "Availability zones.")]),
    row("cluster|syncslots", -3, CHANGES | SYSCMD, Group::Cluster, "9.0.0", disabled)
        .args("subcommand(SYNC{task-id slot-range{start-slot:int end-slot:int}...} | RDBCHANNEL task-id | SNAPSHOT-EOF | STREAM-EOF | \
               ACK{state offset:int} | FAIL error | CONF{option... value...})")
        .docs("Is what nodes say to each other while slots migrate.", "Depends on what is said"),
];

/// ERR This instance has cluster support disabled.
fn disabled(_: &mut Ctx<'_>, _: Args<'_>) -> Result {
    Err(Error::NO_CLUSTER)
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    const DISABLED: &str = "-ERR This instance has cluster support disabled";

    #[test]
    fn this_is_no_cluster() {
        for command in [
            "CLUSTER SLOTS",
            "CLUSTER HELP",
            "CLUSTER KEYSLOT a",
            "READONLY",
            "ASKING",
            "CLUSTERSCAN 0",
        ] {
            check(command, DISABLED);
        }
        check(
            "CLUSTER",
            "-ERR wrong number of arguments for 'cluster' command",
        );
        check(
            "CLUSTER INFO all",
            "-ERR wrong number of arguments for 'cluster|info' command",
        );
        check(
            "CLUSTER NONE",
            "-ERR unknown subcommand 'NONE'. Try CLUSTER HELP.",
        );
    }

    #[test]
    fn rules_of_users_name_them() {
        check(
            "ACL SETUSER app on nopass ~* +@all -cluster|reset -module|load +restore-asking -trimslots",
            "OK",
        );
    }
}
