-- Places of service: those of the table, and others that claims name. The check digit
-- of an NPI is Luhn's over 80840 and its ten digits; the prefix adds 24.
SELECT p.npi, o.name, o.address, o.city, o.state, CAST(o.zip AS VARCHAR) AS zip, CAST(o.phone AS VARCHAR) AS phone,
       length(p.npi) = 10 AND translate(p.npi, '0123456789', '') = ''
       AND (24 + strpos('0516273849', substr(p.npi, 1, 1)) - 1 + strpos('0516273849', substr(p.npi, 3, 1)) - 1
            + strpos('0516273849', substr(p.npi, 5, 1)) - 1 + strpos('0516273849', substr(p.npi, 7, 1)) - 1 + strpos('0516273849', substr(p.npi, 9, 1)) - 1
            + strpos('0123456789', substr(p.npi, 2, 1)) - 1 + strpos('0123456789', substr(p.npi, 4, 1)) - 1 + strpos('0123456789', substr(p.npi, 6, 1)) - 1 + strpos('0123456789', substr(p.npi, 8, 1)) - 1 + strpos('0123456789', substr(p.npi, 10, 1)) - 1) % 10 = 0 AS is_npi
FROM (SELECT DISTINCT n.npi FROM named_site n WHERE n.npi IS NOT NULL) p
LEFT JOIN cpcds.organization_providers o ON CAST(o.id AS VARCHAR) = p.npi
