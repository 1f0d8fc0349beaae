-- Practitioners: those of the table, and others that claims name. The check digit of
-- an NPI is Luhn's over 80840 and its ten digits; the prefix adds 24.
SELECT p.npi, t.name, t.specialty,
       length(p.npi) = 10 AND translate(p.npi, '0123456789', '') = ''
       AND (24 + strpos('0516273849', substr(p.npi, 1, 1)) - 1 + strpos('0516273849', substr(p.npi, 3, 1)) - 1
            + strpos('0516273849', substr(p.npi, 5, 1)) - 1 + strpos('0516273849', substr(p.npi, 7, 1)) - 1 + strpos('0516273849', substr(p.npi, 9, 1)) - 1
            + strpos('0123456789', substr(p.npi, 2, 1)) - 1 + strpos('0123456789', substr(p.npi, 4, 1)) - 1 + strpos('0123456789', substr(p.npi, 6, 1)) - 1 + strpos('0123456789', substr(p.npi, 8, 1)) - 1 + strpos('0123456789', substr(p.npi, 10, 1)) - 1) % 10 = 0 AS is_npi
FROM (SELECT DISTINCT n.npi FROM named_practitioner n WHERE n.npi IS NOT NULL) p
LEFT JOIN (SELECT CAST(x.practitioner_npi AS VARCHAR) AS npi, max(x.name) AS name, max(x.specialty) AS specialty
           FROM cpcds.practitioners x GROUP BY CAST(x.practitioner_npi AS VARCHAR)) t ON t.npi = p.npi
