DROP TABLE audit;
DROP TABLE assertions;
DROP TABLE tokens;
DROP TABLE files;
DROP TABLE chunks;
DROP TABLE exports;
DROP TABLE clients;
