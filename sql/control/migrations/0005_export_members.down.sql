ALTER TABLE exports DROP COLUMN bytes;
ALTER TABLE exports DROP COLUMN members;
