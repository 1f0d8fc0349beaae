SELECT p.person_sk AS bene_sk, p.bene_sk AS old_sk
FROM person_key p
WHERE p.bene_sk <> p.person_sk
