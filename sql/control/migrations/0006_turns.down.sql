DROP INDEX exports_turn;

ALTER TABLE exports DROP COLUMN small;
