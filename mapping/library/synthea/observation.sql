SELECT o.patient, o.encounter, o.code, o.description, o.category, o.value, o.units, o.type, CAST(o.date AS TIMESTAMPTZ) AS date,
       CAST(row_number() OVER (PARTITION BY o.patient, o.encounter, o.code, o.date ORDER BY o.value, o.units, o.type) AS INTEGER) AS ordinal
FROM synthea.observations o
WHERE o.encounter IS NOT NULL
