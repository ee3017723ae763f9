{#-
Return the documents that do not parse or lack their key, and so are in no model: `key` of the document, or of the object
under `within`.
-#}
{% test unreadable_documents(model, column_name, key, within=none) %}

{%- set document = json_value(column_name, within) if within else column_name %}

select *
from {{ model }}
where {{ json_text(document, key) }} is null

{% endtest %}
