SELECT e.organization AS id, e.patient FROM synthea.encounters e
UNION ALL
SELECT o.id, NULL FROM synthea.organizations o
