#include "storage/migrations.h"

namespace wattd::storage {

const char* const kSchema1 = R"sql(
CREATE TABLE tenants (
  tenant_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
INSERT INTO tenants VALUES ('default', 'Default', 0);

CREATE TABLE buildings (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants(tenant_id),
  name TEXT NOT NULL,
  address TEXT,
  square_footage INTEGER,
  created_at INTEGER NOT NULL
);

CREATE TABLE devices (
  device_key INTEGER PRIMARY KEY,
  device_id TEXT NOT NULL UNIQUE CHECK (length(device_id) BETWEEN 1 AND 50),
  tenant_id TEXT NOT NULL DEFAULT 'default',
  device_name TEXT NOT NULL,
  device_type TEXT NOT NULL,
  manufacturer TEXT,
  model TEXT,
  location TEXT,
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'maintenance', 'error')),
  metadata_json TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  last_seen INTEGER,
  health_score REAL,
  uptime_percent REAL,
  avg_response_ms REAL,
  error_rate REAL,
  health_calculated_at INTEGER,
  sensor_id TEXT UNIQUE,
  building_id TEXT REFERENCES buildings(id),
  parent_device_id TEXT REFERENCES devices(device_id),
  meter_role TEXT NOT NULL DEFAULT 'main' CHECK (meter_role IN ('main', 'sub', 'virtual')),
  formula TEXT,
  stamp TEXT NOT NULL DEFAULT 'device' CHECK (stamp IN ('device', 'arrival')),
  schema_version TEXT NOT NULL DEFAULT 'v1',
  enrichment_status TEXT NOT NULL DEFAULT 'skipped'
    CHECK (enrichment_status IN ('pending', 'success', 'failed', 'timeout', 'skipped')),
  version INTEGER NOT NULL,
  origin TEXT
);
CREATE INDEX ix_devices_device_type ON devices(device_type);
CREATE INDEX ix_devices_status ON devices(status);
CREATE INDEX ix_devices_tenant_id ON devices(tenant_id);
CREATE INDEX ix_devices_last_seen ON devices(last_seen);
CREATE TRIGGER devices_id_is_immutable BEFORE UPDATE OF device_id ON devices
  WHEN old.device_id <> new.device_id
  BEGIN SELECT raise(ABORT, 'device_id is immutable'); END;

CREATE VIEW sensors AS
  SELECT sensor_id AS id, building_id, device_type AS sensor_type, location, status = 'active' AS is_active, created_at
  FROM devices WHERE sensor_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE device_versions (
  device_key INTEGER NOT NULL REFERENCES devices(device_key),
  version INTEGER NOT NULL,
  device_type TEXT NOT NULL,
  location TEXT,
  schema_version TEXT NOT NULL,
  enrichment_status TEXT NOT NULL,
  valid_from INTEGER NOT NULL,
  PRIMARY KEY (device_key, version)
) WITHOUT ROWID;

CREATE TABLE series (
  series_id INTEGER PRIMARY KEY,
  device_key INTEGER NOT NULL REFERENCES devices(device_key),
  field TEXT NOT NULL,
  measurand TEXT,
  unit TEXT,
  UNIQUE (device_key, field)
);

CREATE TABLE segments (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  hour INTEGER NOT NULL,
  committed_at INTEGER NOT NULL,
  readings INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  bytes_before INTEGER NOT NULL,
  receipts BLOB,
  body BLOB NOT NULL
);
CREATE INDEX ix_segments_hour ON segments(hour);

CREATE TABLE rollups_hourly (
  series_id INTEGER NOT NULL REFERENCES series(series_id),
  start INTEGER NOT NULL,
  count INTEGER NOT NULL,
  min REAL NOT NULL,
  max REAL NOT NULL,
  sum REAL NOT NULL,
  first REAL NOT NULL,
  last REAL NOT NULL,
  PRIMARY KEY (series_id, start)
) WITHOUT ROWID;

CREATE TABLE rollups_daily (
  series_id INTEGER NOT NULL REFERENCES series(series_id),
  start INTEGER NOT NULL,
  count INTEGER NOT NULL,
  min REAL NOT NULL,
  max REAL NOT NULL,
  sum REAL NOT NULL,
  first REAL NOT NULL,
  last REAL NOT NULL,
  PRIMARY KEY (series_id, start)
) WITHOUT ROWID;

CREATE TABLE rollup_pending (
  hour INTEGER PRIMARY KEY,
  from_seq INTEGER NOT NULL
);

-- The newest hour that has lost a segment to the ring's bound: its rollups are only added to, never recomputed.
CREATE TABLE ring_floor (hour INTEGER NOT NULL);
INSERT INTO ring_floor VALUES (-1);

CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  received_at INTEGER NOT NULL,
  source TEXT NOT NULL,
  topic TEXT NOT NULL,
  payload BLOB NOT NULL,
  reason TEXT NOT NULL CHECK (reason IN ('parse_error', 'validation_error', 'write_error', 'timestamp_error',
                                         'device_error', 'upstream_rejected')),
  detail TEXT NOT NULL,
  replayed_at INTEGER
);

CREATE TABLE cursors (
  sink_id TEXT PRIMARY KEY,
  settled_seq INTEGER NOT NULL,
  sent_seq INTEGER NOT NULL,
  backfill BLOB,
  updated_at INTEGER NOT NULL
);

CREATE TABLE rules (
  rule_id TEXT PRIMARY KEY,
  tenant_id TEXT DEFAULT 'default',
  rule_name TEXT NOT NULL,
  description TEXT,
  scope TEXT NOT NULL CHECK (scope IN ('all_devices', 'selected_devices')),
  device_ids TEXT NOT NULL DEFAULT '[]',
  property TEXT NOT NULL,
  condition TEXT NOT NULL CHECK (condition IN ('>', '<', '=', '!=', '>=', '<=')),
  threshold REAL NOT NULL,
  severity TEXT NOT NULL DEFAULT 'medium' CHECK (severity IN ('low', 'medium', 'high', 'critical')),
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'archived')),
  notification_channels TEXT NOT NULL DEFAULT '[]',
  cooldown_minutes INTEGER NOT NULL DEFAULT 15,
  last_triggered_at INTEGER,
  created_by TEXT REFERENCES users(id),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  origin TEXT
);
CREATE INDEX ix_rules_property ON rules(property);
CREATE INDEX ix_rules_status ON rules(status);
CREATE INDEX ix_rules_tenant_id ON rules(tenant_id);

CREATE TABLE alerts (
  alert_id TEXT PRIMARY KEY,
  tenant_id TEXT DEFAULT 'default',
  rule_id TEXT NOT NULL REFERENCES rules(rule_id) ON DELETE CASCADE,
  device_id TEXT NOT NULL,
  severity TEXT NOT NULL,
  message TEXT NOT NULL,
  actual_value REAL NOT NULL,
  threshold_value REAL NOT NULL,
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'resolved', 'suppressed')),
  count INTEGER NOT NULL DEFAULT 1,
  last_value REAL NOT NULL,
  last_seen_at INTEGER NOT NULL,
  acknowledged_by TEXT,
  acknowledged_at INTEGER,
  resolved_at INTEGER,
  created_at INTEGER NOT NULL
);
CREATE INDEX ix_alerts_device_id ON alerts(device_id);
CREATE INDEX ix_alerts_rule_id ON alerts(rule_id);
CREATE INDEX ix_alerts_status ON alerts(status);
CREATE INDEX ix_alerts_tenant_id ON alerts(tenant_id);
CREATE INDEX ix_alerts_created_at ON alerts(created_at DESC);

CREATE TABLE alert_configs (
  id TEXT PRIMARY KEY,
  building_id TEXT REFERENCES buildings(id),
  threshold_kwh REAL,
  notification_email TEXT,
  is_enabled INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  alert_id TEXT NOT NULL REFERENCES alerts(alert_id) ON DELETE CASCADE,
  channel TEXT NOT NULL,
  event TEXT NOT NULL CHECK (event IN ('raised', 'escalated', 'resolved')),
  created_at INTEGER NOT NULL,
  UNIQUE (alert_id, channel, event)
);

CREATE TABLE notification_logs (
  id TEXT PRIMARY KEY,
  alert_id TEXT REFERENCES alerts(alert_id) ON DELETE CASCADE,
  channel TEXT NOT NULL,
  recipient TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'failed', 'bounced')),
  provider_response TEXT,
  attempts INTEGER NOT NULL DEFAULT 1,
  sent_at INTEGER,
  created_at INTEGER NOT NULL
);
CREATE INDEX ix_notification_logs_alert_id ON notification_logs(alert_id);
CREATE INDEX ix_notification_logs_status ON notification_logs(status);

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  full_name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('admin', 'engineer')),
  is_active INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  last_login INTEGER
);
CREATE INDEX ix_users_role ON users(role);

CREATE TABLE mqtt_acl (
  id INTEGER PRIMARY KEY,
  username TEXT NOT NULL,
  topic TEXT NOT NULL,
  action TEXT NOT NULL CHECK (action IN ('subscribe', 'publish', 'all')),
  allow INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL
);
CREATE INDEX ix_mqtt_acl_username ON mqtt_acl(username);
CREATE INDEX ix_mqtt_acl_topic ON mqtt_acl(topic);

CREATE TABLE analytics_jobs (
  id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL UNIQUE,
  device_id TEXT NOT NULL,
  analysis_type TEXT NOT NULL CHECK (analysis_type IN ('anomaly', 'prediction', 'forecast')),
  model_name TEXT NOT NULL,
  date_range_start INTEGER NOT NULL,
  date_range_end INTEGER NOT NULL,
  parameters TEXT,
  status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed', 'failed')),
  progress REAL,
  message TEXT,
  error_message TEXT,
  results TEXT,
  accuracy_metrics TEXT,
  execution_time_seconds INTEGER,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  completed_at INTEGER,
  updated_at INTEGER NOT NULL
);
CREATE INDEX ix_analytics_jobs_device_id ON analytics_jobs(device_id);
CREATE INDEX ix_analytics_jobs_status ON analytics_jobs(status);
CREATE INDEX ix_analytics_jobs_created_at ON analytics_jobs(created_at);

CREATE TABLE export_checkpoints (
  id INTEGER PRIMARY KEY,
  device_id TEXT NOT NULL,
  last_exported_at INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL CHECK (status IN ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED')),
  s3_key TEXT,
  record_count INTEGER NOT NULL DEFAULT 0,
  error_message TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (device_id, last_exported_at)
);
CREATE INDEX ix_export_checkpoints_status ON export_checkpoints(status);
CREATE INDEX ix_export_checkpoints_updated ON export_checkpoints(updated_at);

CREATE TABLE daily_summaries (
  building_id TEXT NOT NULL,
  date TEXT NOT NULL,
  total_consumption_kwh REAL,
  peak_demand_kw REAL,
  cost_estimate REAL,
  PRIMARY KEY (building_id, date)
) WITHOUT ROWID;
)sql";

const char* const kSchema2 = R"sql(
-- Segments of version 1 stay where they are until they have been compacted; new ones go to `ring`, which has neither
-- an index nor AUTOINCREMENT: each would cost a page more in every commit.
DROP INDEX ix_segments_hour;
CREATE TABLE ring (
  seq INTEGER PRIMARY KEY,
  from_at INTEGER NOT NULL,
  span INTEGER NOT NULL,
  bytes_before INTEGER NOT NULL,
  readings INTEGER NOT NULL,
  cells INTEGER NOT NULL,
  receipts BLOB,
  body BLOB NOT NULL
);
CREATE VIEW arrivals AS
  SELECT seq, hour * 3600000000 AS from_at, (hour + 1) * 3600000000 - 1 AS to_at, bytes_before, readings,
         samples AS cells, receipts, body FROM segments
  UNION ALL SELECT seq, from_at, from_at + span, bytes_before, readings, cells, receipts, body FROM ring;

-- Readings whose stamps nothing vouches for, until it is known when their boot began.
CREATE TABLE boots (
  boot_key INTEGER PRIMARY KEY,
  boot_id TEXT NOT NULL UNIQUE,
  assumed_at INTEGER NOT NULL,
  began_at INTEGER,
  estimated INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE held (
  id INTEGER PRIMARY KEY,
  boot_key INTEGER NOT NULL REFERENCES boots(boot_key),
  until_us INTEGER NOT NULL,
  readings INTEGER NOT NULL,
  body BLOB NOT NULL
);

ALTER TABLE dead_letters ADD COLUMN boot_key INTEGER;
ALTER TABLE dead_letters ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;

-- The keys that anything here is sealed with, each with something that it opens.
CREATE TABLE vault (
  key_id INTEGER PRIMARY KEY,
  proof BLOB NOT NULL
);

-- chunk_id is the device's key times 2^43 plus the first stamp in milliseconds: a device's chunks lie side by side.
CREATE TABLE chunks (
  chunk_id INTEGER PRIMARY KEY,
  to_at INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  head BLOB NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX ix_chunks_last_seq ON chunks(last_seq);

CREATE TABLE corrections (
  id INTEGER PRIMARY KEY,
  series_id INTEGER NOT NULL REFERENCES series(series_id),
  at INTEGER NOT NULL,
  was TEXT NOT NULL,
  became TEXT NOT NULL,
  recorded_at INTEGER NOT NULL
);

CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO state SELECT 'compacted_seq', ifnull((SELECT min(seq) - 1 FROM segments),
                                                 ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'segments'), 0));
INSERT INTO state SELECT 'last_seq', ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'segments'), 0);
INSERT INTO state SELECT 'raw_floor', (hour + 1) * 3600000000 FROM ring_floor;
INSERT INTO state VALUES ('zone', 'UTC');
DROP TABLE ring_floor;
DROP TABLE rollup_pending;
CREATE TABLE rollup_pending (
  device_key INTEGER NOT NULL,
  start INTEGER NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (device_key, start, until)
) WITHOUT ROWID;

ALTER TABLE rollups_hourly ADD COLUMN coverage REAL;
ALTER TABLE rollups_hourly ADD COLUMN quality INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollups_hourly ADD COLUMN energy INTEGER;
ALTER TABLE rollups_hourly ADD COLUMN counter BLOB;
ALTER TABLE rollups_hourly ADD COLUMN sealed BLOB;
ALTER TABLE rollups_daily ADD COLUMN coverage REAL;
ALTER TABLE rollups_daily ADD COLUMN quality INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollups_daily ADD COLUMN energy INTEGER;
ALTER TABLE rollups_daily ADD COLUMN sealed BLOB;
ALTER TABLE series ADD COLUMN modulus REAL;
ALTER TABLE series ADD COLUMN most_an_hour REAL;
ALTER TABLE series ADD COLUMN resolution REAL;
)sql";

const char* const kSchema3 = R"sql(
-- What a rollup says, in one value: handing out a row of a dozen columns takes SQLite three times as long. Rows without
-- it are those of schema 2.
ALTER TABLE rollups_hourly ADD COLUMN summary BLOB;
ALTER TABLE rollups_daily ADD COLUMN summary BLOB;
)sql";

const char* const kSchema4 = R"sql(
-- Rules have one or more conditions. The first stands in the rule's own columns, too: whoever reads the table finds there what
-- the seed's rules have.
CREATE TABLE rules_with_scopes (
  rule_id TEXT PRIMARY KEY,
  tenant_id TEXT DEFAULT 'default',
  rule_name TEXT NOT NULL,
  description TEXT,
  scope TEXT NOT NULL CHECK (scope IN ('all_devices', 'selected_devices', 'building', 'device_type')),
  device_ids TEXT NOT NULL DEFAULT '[]',
  property TEXT NOT NULL,
  condition TEXT NOT NULL CHECK (condition IN ('>', '<', '=', '!=', '>=', '<=')),
  threshold REAL NOT NULL,
  severity TEXT NOT NULL DEFAULT 'medium' CHECK (severity IN ('low', 'medium', 'high', 'critical')),
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'archived')),
  notification_channels TEXT NOT NULL DEFAULT '[]',
  cooldown_minutes INTEGER NOT NULL DEFAULT 15,
  last_triggered_at INTEGER,
  created_by TEXT REFERENCES users(id),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  origin TEXT,
  scope_name TEXT,
  total INTEGER NOT NULL DEFAULT 0,
  match TEXT NOT NULL DEFAULT 'all' CHECK (match IN ('all', 'any')),
  hold_us INTEGER NOT NULL DEFAULT 0,
  hours TEXT,
  outside_hours INTEGER NOT NULL DEFAULT 0,
  escalate_after_us INTEGER NOT NULL DEFAULT 0,
  escalate_to TEXT NOT NULL DEFAULT '[]'
);
INSERT INTO rules_with_scopes (rule_id, tenant_id, rule_name, description, scope, device_ids, property, condition,
  threshold, severity, status, notification_channels, cooldown_minutes, last_triggered_at, created_by, created_at,
  updated_at, deleted_at, origin)
  SELECT rule_id, tenant_id, rule_name, description, scope, device_ids, property, condition, threshold, severity, status,
    notification_channels, cooldown_minutes, last_triggered_at, created_by, created_at, updated_at, deleted_at, origin
  FROM rules;
DROP TABLE rules;
ALTER TABLE rules_with_scopes RENAME TO rules;
CREATE INDEX ix_rules_property ON rules(property);
CREATE INDEX ix_rules_status ON rules(status);
CREATE INDEX ix_rules_tenant_id ON rules(tenant_id);

CREATE TABLE rule_conditions (
  rule_id TEXT NOT NULL REFERENCES rules(rule_id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,
  device_id TEXT,
  property TEXT,
  condition TEXT NOT NULL CHECK (condition IN ('>', '<', '=', '!=', '>=', '<=')),
  threshold REAL NOT NULL,
  clear REAL,
  window_us INTEGER NOT NULL DEFAULT 0,
  reference TEXT,
  relative INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (rule_id, position)
);
INSERT INTO rule_conditions (rule_id, position, kind, property, condition, threshold)
  SELECT rule_id, 0, 'threshold', property, condition, threshold FROM rules;

CREATE TABLE rule_recipients (
  rule_id TEXT NOT NULL REFERENCES rules(rule_id) ON DELETE CASCADE,
  channel TEXT NOT NULL,
  recipient TEXT NOT NULL,
  PRIMARY KEY (rule_id, channel, recipient)
);

ALTER TABLE alerts ADD COLUMN resolved_by TEXT;
ALTER TABLE alerts ADD COLUMN notified_at INTEGER;
ALTER TABLE alerts ADD COLUMN escalated_at INTEGER;
ALTER TABLE alerts ADD COLUMN late INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN flapping INTEGER NOT NULL DEFAULT 0;
-- Whether its condition is met, whatever a person has said of the alert.
ALTER TABLE alerts ADD COLUMN stands INTEGER NOT NULL DEFAULT 0;
UPDATE alerts SET stands = 1 WHERE status IN ('open', 'acknowledged');
UPDATE alerts SET notified_at = created_at WHERE status IN ('open', 'acknowledged');
CREATE INDEX ix_alerts_stands ON alerts(stands) WHERE stands = 1;
CREATE INDEX ix_alerts_notified_at ON alerts(rule_id, device_id, notified_at) WHERE notified_at IS NOT NULL;

-- What was written down to be told and never was, when nobody could be told yet, is too old to be told now.
DELETE FROM outbox;

-- One row a person and message: what becomes of it.
ALTER TABLE notification_logs ADD COLUMN event TEXT NOT NULL DEFAULT 'raised';
ALTER TABLE notification_logs ADD COLUMN message_id TEXT;
ALTER TABLE notification_logs ADD COLUMN due_at INTEGER;
-- Set before it is handed over: if no answer is written down beside it after a crash, nobody knows whether it was taken.
ALTER TABLE notification_logs ADD COLUMN sending_at INTEGER;
CREATE INDEX ix_notification_logs_pending ON notification_logs(status) WHERE status = 'pending';

CREATE TABLE silences (
  silence_id TEXT PRIMARY KEY,
  device_ids TEXT NOT NULL DEFAULT '[]',
  rule_ids TEXT NOT NULL DEFAULT '[]',
  from_at INTEGER NOT NULL,
  to_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  comment TEXT,
  created_at INTEGER NOT NULL
);

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  did TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT
);
CREATE INDEX ix_audit_subject ON audit(subject);
)sql";

const char* const kSchema5 = R"sql(
-- What sinks get beside readings: of each record, the number of its last change. A record that changes moves to the end.
CREATE TABLE changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  stream TEXT NOT NULL CHECK (stream IN ('devices', 'alerts', 'analytics')),
  key TEXT NOT NULL,
  changed_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000000),
  UNIQUE (stream, key)
);
CREATE INDEX ix_changes_stream ON changes(stream, seq);
INSERT INTO changes (stream, key) SELECT 'devices', device_id FROM devices ORDER BY device_key;
INSERT INTO changes (stream, key) SELECT 'alerts', alert_id FROM alerts ORDER BY created_at;
INSERT INTO changes (stream, key) SELECT 'analytics', job_id FROM analytics_jobs ORDER BY created_at;
CREATE TRIGGER analytics_added AFTER INSERT ON analytics_jobs BEGIN
  DELETE FROM changes WHERE stream = 'analytics' AND key = new.job_id;
  INSERT INTO changes (stream, key) VALUES ('analytics', new.job_id);
END;
CREATE TRIGGER analytics_changed AFTER UPDATE ON analytics_jobs BEGIN
  DELETE FROM changes WHERE stream = 'analytics' AND key = new.job_id;
  INSERT INTO changes (stream, key) VALUES ('analytics', new.job_id);
END;
CREATE TRIGGER analytics_deleted AFTER DELETE ON analytics_jobs BEGIN
  DELETE FROM changes WHERE stream = 'analytics' AND key = old.job_id;
END;
CREATE TRIGGER devices_added AFTER INSERT ON devices BEGIN
  DELETE FROM changes WHERE stream = 'devices' AND key = new.device_id;
  INSERT INTO changes (stream, key) VALUES ('devices', new.device_id);
END;
CREATE TRIGGER devices_changed AFTER UPDATE OF device_name, device_type, tenant_id, manufacturer, model, location, status,
  metadata_json, deleted_at, building_id, parent_device_id, meter_role, formula ON devices
  WHEN (old.device_name, old.device_type, old.tenant_id, old.manufacturer, old.model, old.location, old.status,
        old.metadata_json, old.deleted_at, old.building_id, old.parent_device_id, old.meter_role, old.formula)
    IS NOT (new.device_name, new.device_type, new.tenant_id, new.manufacturer, new.model, new.location, new.status,
            new.metadata_json, new.deleted_at, new.building_id, new.parent_device_id, new.meter_role, new.formula)
BEGIN
  DELETE FROM changes WHERE stream = 'devices' AND key = new.device_id;
  INSERT INTO changes (stream, key) VALUES ('devices', new.device_id);
END;
CREATE TRIGGER alerts_added AFTER INSERT ON alerts BEGIN
  DELETE FROM changes WHERE stream = 'alerts' AND key = new.alert_id;
  INSERT INTO changes (stream, key) VALUES ('alerts', new.alert_id);
END;
CREATE TRIGGER alerts_changed AFTER UPDATE ON alerts BEGIN
  DELETE FROM changes WHERE stream = 'alerts' AND key = new.alert_id;
  INSERT INTO changes (stream, key) VALUES ('alerts', new.alert_id);
END;
CREATE TRIGGER alerts_deleted AFTER DELETE ON alerts BEGIN
  DELETE FROM changes WHERE stream = 'alerts' AND key = old.alert_id;
END;

-- Whether a person has paused a sink, and what it has spent of its budget on a metered link.
ALTER TABLE cursors ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursors ADD COLUMN spent_on TEXT NOT NULL DEFAULT '';
ALTER TABLE cursors ADD COLUMN spent_bytes INTEGER NOT NULL DEFAULT 0;

-- How many messages were refused, by day (since 1970 UTC): letters are deleted for their room, their number stays.
CREATE TABLE dead_letter_days (
  day INTEGER NOT NULL,
  source TEXT NOT NULL,
  reason TEXT NOT NULL,
  letters INTEGER NOT NULL,
  last_id INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  PRIMARY KEY (day, source, reason)
) WITHOUT ROWID;
INSERT INTO dead_letter_days
  SELECT received_at / 86400000000, source, reason, count(*), max(id), max(received_at) FROM dead_letters
    GROUP BY 1, 2, 3;
CREATE TRIGGER dead_letters_counted AFTER INSERT ON dead_letters BEGIN
  INSERT INTO dead_letter_days VALUES (new.received_at / 86400000000, new.source, new.reason, 1, new.id,
                                       new.received_at)
    ON CONFLICT DO UPDATE SET letters = letters + 1, last_id = excluded.last_id, last_at = excluded.last_at;
  DELETE FROM dead_letter_days WHERE day < new.received_at / 86400000000 - 400;
END;
)sql";

}  // namespace wattd::storage
