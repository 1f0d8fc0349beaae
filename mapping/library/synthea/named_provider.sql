SELECT e.provider AS id, e.patient FROM synthea.encounters e
UNION ALL
SELECT c.providerid, c.patientid FROM synthea.claims c
UNION ALL
SELECT c.referringproviderid, c.patientid FROM synthea.claims c
UNION ALL
SELECT c.supervisingproviderid, c.patientid FROM synthea.claims c
UNION ALL
SELECT v.id, NULL FROM synthea.providers v
