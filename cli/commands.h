#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/output.h"

namespace wattd::cli {

/// What every command gets: where the daemon is and how to answer.
struct Context {
  Client client;
  Format format = Format::table;
};

// Every command prints to standard output and returns its exit status: 0 done, 1 failed (the reason is on
// standard error), 2 not understood.

int show_status(Context& context);
int list_devices(Context& context);
int tail(Context& context, const std::string& device, int count);

struct Query {
  std::string device;
  std::string fields;       ///< Comma separated; empty is all.
  std::string from = "1h";  ///< RFC 3339, or so long ago.
  std::string to;
  std::string aggregate;
  std::string interval;
  int limit = 1000;
};
int query(Context& context, const Query& query);

// Rules are named by id, the beginning of it, or name; alerts by id or its beginning.
int list_rules(Context& context, const std::string& status, const std::string& device);
int show_rule(Context& context, const std::string& rule);
/// From a file of [[rules]] tables; `-` is standard input.
int add_rules(Context& context, const std::string& path, const std::string& who);
int edit_rule(Context& context, const std::string& rule, const std::string& who);
int set_rule_status(Context& context, const std::string& rule, const std::string& status, const std::string& who);
/// A rule that is there, or one in a file, and the time to lead through it.
struct RuleTest {
  std::string rule, file;
  std::string from = "1d", to;  ///< RFC 3339, or so long ago.
};
int test_rule(Context& context, const RuleTest& test);

int list_alerts(Context& context, const std::string& status, const std::string& device);
int show_alert(Context& context, const std::string& alert);
int change_alert(Context& context, const std::string& alert, const std::string& verb, const std::string& who);
/// Of what nobody is told for a while; an alert stands for its rule on its device.
struct SilenceTarget {
  std::string alert, comment;
  std::vector<std::string> devices, rules;
  int minutes = 60;
};
int add_silence(Context& context, const SilenceTarget& target, const std::string& who);
int list_silences(Context& context);
int end_silence(Context& context, const std::string& id, const std::string& who);

int list_channels(Context& context);
int list_notifications(Context& context, const std::string& status, int limit);
int test_channel(Context& context, const std::string& channel, const std::string& recipient);
int list_dead_letters(Context& context, int limit);
int show_dead_letter(Context& context, std::int64_t id);
int replay_dead_letters(Context& context, const std::vector<std::int64_t>& ids, bool all);

int sync_status(Context& context);
/// How far a sink is, in numbers of segments.
int sync_cursor(Context& context, const std::string& sink);
int pause_sink(Context& context, const std::string& sink, bool paused);
/// What a sink is asked to do beside its ordinary work; waits until it has ended.
struct SinkJob {
  std::string kind;  ///< test, backfill or verify.
  std::string sink;
  std::string from, to;  ///< RFC 3339, or so long ago; empty: a day ago and now.
  bool dry_run = false;  ///< Of verify: sends nothing.
};
int run_job(Context& context, const SinkJob& job);
int cancel_job(Context& context, const std::string& sink);

int doctor(Context& context, const std::string& config_path);
/// Becomes `wattd --check-config`, or says in JSON what that said.
int check_config(Format format, const std::string& config_path);

/// What `wattctl db` works on.
struct DatabaseTarget {
  std::string directory = "/var/lib/wattd";
  std::string file;    ///< Empty: the one in use in the directory.
  std::string target;  ///< Of a copy.
  std::string keys;    ///< The file of the keys that it is sealed with.
};
int check_database(Context& context, const DatabaseTarget& target);
int back_up_database(Context& context, const DatabaseTarget& target);
int restore_database(Context& context, const DatabaseTarget& target);
int salvage_database(Context& context, const DatabaseTarget& target);
int merge_database(Context& context, const DatabaseTarget& target);
int vacuum_database(Context& context, const DatabaseTarget& target);

/// Where a meter is, given on the command line.
struct MeterTarget {
  std::string profile;
  std::string tcp;     ///< host[:port].
  std::string serial;  ///< Device.
  std::string bus;     ///< Of the running daemon, which asks for us.
  int baud = 9600;
  std::string parity = "none";
  int stop_bits = 1;
  int unit = 1;
  int instance = 1;  ///< Of several SunSpec models of one kind.
  int timeout_ms = 1000;
  bool rtu_over_tcp = false;
  bool experimental = false;
  bool orders = false;          ///< Show what the words say in every order.
  std::string units = "1-247";  ///< To scan, such as 1-10,247.
  std::vector<std::string> profile_directories;
};
int read_meter(Context& context, const MeterTarget& target);
int scan_meters(Context& context, const MeterTarget& target);
int probe_line(Context& context, const MeterTarget& target);
int explain_meter(Context& context, const MeterTarget& target);
int list_meter_profiles(Context& context, const MeterTarget& target);

/// Configuration for a fleet.
struct BundleTarget {
  std::string path;  ///< A directory with conf.d and profiles, or a bundle.
  std::string key;   ///< The file of the private key, or to look at one, of the public key.
  std::string out;
  std::uint64_t serial = 0;
  std::vector<std::string> gateways;  ///< None: any.
  std::string expires;
};
int seal_bundle(const BundleTarget& target);
int show_bundle(Context& context, const BundleTarget& target);
/// What somebody far away needs to tell what is wrong; to standard output where no file is named.
int write_diagnostics(Context& context, const std::string& out);

/// A bus of the running daemon, and how long to look at it.
struct BusTarget {
  std::string bus;
  int seconds = 10;
  std::string pcap;  ///< Empty: none is written.
};
int trace_bus(Context& context, const BusTarget& target);

/// Prints the reason and returns 1.
int complain(const Error& error);

}  // namespace wattd::cli
