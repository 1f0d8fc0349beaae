SELECT e.id, e.patient, e.organization, e.provider, e.encounterclass, e.code, e.description, e.reasoncode, e.reasondescription,
       CAST(e.start AS TIMESTAMPTZ) AS starts, CAST(e.stop AS TIMESTAMPTZ) AS stops
FROM synthea.encounters e
