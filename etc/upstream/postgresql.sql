-- The role of the gateways, and a schema that it may fill and nothing else. As the owner of the database:
--   psql -v password=… -f postgresql.sql plant
CREATE ROLE wattd LOGIN PASSWORD :'password';
CREATE SCHEMA wattd AUTHORIZATION wattd;
-- Who reads reports may read, and no more.
CREATE ROLE wattd_reader NOLOGIN;
GRANT USAGE ON SCHEMA wattd TO wattd_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE wattd IN SCHEMA wattd GRANT SELECT ON TABLES TO wattd_reader;
