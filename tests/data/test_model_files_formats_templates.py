"""Chat templates: what climbs, calls or includes is blocked; what publishers write is not."""

import json

import jinja2.sandbox
import pytest

from tradewind.data.model_files.scanner import scan_bytes

MALICIOUS = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "cycler": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "lipsum": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "context": "{{ self._TemplateReference__context.cycler }}",
    "attr": "{{ ()|attr('__class__')|attr('__base__') }}",
    "joined": "{{ ''['__cl' ~ 'ass__'] }}",
    "set": "{% set x = '__cl' + 'ass__' %}{{ ''[x] }}",
    "namespace": (
        "{% set n = namespace(k='') %}{% for c in ['_', '_', 'class'] %}{% set n.k = n.k ~ c %}{%"
        " endfor %}{{ x[n.k] }}"
    ),
    "escaped": "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "reversed": "{{ ''['__ssalc__'|reverse] }}",
    "sliced": "{{ ''['__ssalc__'[::-1]] }}",
    "replaced": "{{ ''['@@class@@'.replace('@', '_')] }}",
    "joined list": "{{ ''[['__', 'class', '__']|join] }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(x) }}",
    "percent": "{{ ''['%s%s' % ('__cla', 'ss__')] }}",
    "map attribute": "{{ messages|map(attribute='__class__')|list }}",
    "map attr": "{{ messages|map('attr', '__class__')|list }}",
    "map variable": "{{ messages|map(attribute=x)|list }}",
    "sort": "{{ messages|sort(attribute='a.__class__') }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "from": "{% from 'os' import system %}",
    "extends": "{% extends 'base.html' %}",
    "called key": "{{ x['popen']('id') }}",
    "called name": "{{ popen('id') }}",
    "called bound": "{% set range = x.popen %}{{ range('id') }}",
    "called group": "{{ (x.popen)('id') }}",
    "generator": "{{ x.gi_frame.f_globals }}",
    "old function": "{{ x.func_globals }}",
    "mro": "{{ x.mro() }}",
    "in a test": "{% if ''.__class__ is defined %}{% endif %}",
    "in a default": "{% macro f(a=''.__class__) %}{% endmacro %}",
    "in a filter": "{{ 'x'|default(''.__class__) }}",
    "in a loop": "{% for a in ''.__class__.__subclasses__() %}{% endfor %}",
    "in a call block": "{% call lipsum.__globals__.os.system('x') %}{% endcall %}",
    "in a comment's shadow": "{# x #}{{ ''.__class__ }}{# y #}",
    "behind raw": "{% raw %}{{ a }}{% endraw %}{{ ''.__class__ }}",
    "unpacked": "{{ dict(**x) }}",
    "macro argument": "{% macro f(k) %}{{ ''[k] }}{% endmacro %}{{ f('__cla' ~ 'ss__') }}",
    "long text": "{{ 'a' * 9999999999 }}",
    "long loop": "{% for i in range(99999999999) %}{% endfor %}",
    "power": "{{ 9 ** 9999999 }}",
}
BENIGN = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['conten"
        "t'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>ass"
        "istant\n' }}{% endif %}"
    ),
    "llama 2": (
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set sys"
        "tem_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% se"
        "t system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['"
        "role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate')"
        " }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<S"
        "YS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content "
        "= message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INS"
        "T] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + "
        "content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "steps": (
        "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%-"
        " for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{"
        "%- if ns.multi_step_tool and message.role == 'user' and message.content is string and no"
        "t(message.content.startswith('<tool_response>') and message.content.endswith('</tool_res"
        "ponse>')) %}{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{"
        "%- endif %}{%- endfor %}{{ messages[ns.last_query_index].content }}"
    ),
    "thinking": "{%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}{{ content }}",
    "tools": "{%- for tool in tools %}{{- tool | tojson(indent=4) }}{%- endfor %}",
    "macro": (
        "{%- macro render(t, depth=0) -%}{%- if t is mapping and t.type in ['array', 'object'] -%"
        "}{%- for k, v in t.properties|items %}{{ k ~ ': ' ~ v.type }}{% if not loop.last %}, {% "
        "endif %}{%- endfor %}{%- endif -%}{%- endmacro -%}{{ render(tools[0]) }}"
    ),
    "date": "{{ 'Today: ' + strftime_now('%d %b %Y') }}",
    "generation": "{% generation %}{{ message.content }}{% endgeneration %}",
    "names": (
        "{%- set names = tools | map(attribute='function') | map(attribute='name') | join(', ') %"
        "}{{ names }}"
    ),
    "arguments": "{% for k in call.arguments %}{{ k }}={{ call.arguments[k] }}{% endfor %}",
    "pairs": "{% for k, v in call.arguments.items() %}{{ k }}: {{ v|string|trim }}{% endfor %}",
    "selected": "{{ messages|selectattr('role', 'equalto', 'tool')|list|length }}",
    "ternary": "{{ 'yes' if message.get('tools') else 'no' }}",
    "alternate": "{{ loop.cycle('a', 'b') }}{{ x is not none and x is defined }}",
    "breaks": (
        "{% for m in messages if m.role != 'system' %}{% if loop.first %}{% continue %}{% endif %"
        "}{{ m }}{% break %}{% endfor %}"
    ),
    "raw": "{% raw %}{{ not.__code__ }}{% endraw %}",
    "comment": "{# __class__ is only a word here #}x",
    "set block": "{% set text %}Hello {{ name }}{% endset %}{{ text }}",
    "call block": "{% macro box() %}[{{ caller() }}]{% endmacro %}{% call box() %}x{% endcall %}",
    "filter block": "{% filter upper %}x{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}",
    "image": (
        "{% for c in message['content'] %}{% if c['type'] == 'image' or 'image' in c %}<image>{% "
        "elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}"
    ),
    "numbered": "{{ messages[loop.index0 - 1].role if loop.index0 > 0 else '' }}",
}  # fmt: skip


def judged(template):
    scan = scan_bytes(json.dumps({"chat_template": template}).encode(), "tokenizer_config.json")
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


@pytest.mark.parametrize("name", MALICIOUS)
def test_what_could_do_harm_is_blocked(name):
    assert judged(MALICIOUS[name])[:2] == ("json", "blocked"), judged(MALICIOUS[name])


@pytest.mark.parametrize("name", BENIGN)
def test_what_publishers_write_is_clean(name):
    assert judged(BENIGN[name]) == ("json", "clean", set())
    as_file = scan_bytes(BENIGN[name].encode())
    assert as_file.verdict == "clean"


def test_the_malicious_ones_are_templates_that_jinja_takes():
    """So the cases above are real ones: jinja2 itself parses them."""
    environment = jinja2.sandbox.SandboxedEnvironment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
    for template in MALICIOUS.values():
        environment.parse(template)


def test_several_templates_by_name_are_all_judged():
    good, bad = {"name": "default", "template": "x"}, {"name": "tools", "template": "{{ x.__class__ }}"}
    assert judged([good, bad])[1] == "blocked"
    assert judged({"default": "x", "rag": "{{ x.__class__ }}"})[1] == "blocked"
    assert judged([good])[1] == "clean"


@pytest.mark.parametrize(
    "cut",
    [
        "{{ ",
        "{% if x",
        "{# x",
        "{{ 'a }}",
        "{{ a[ }}",
        "{% blub %}",
        "{{ a ? b }}",
        "{{ " + "(" * 500 + " }}",
    ],
)
def test_what_cannot_be_read_is_undecided(cut):
    assert judged(cut)[1] == "undecided"


def test_what_was_found_before_a_break_is_kept():
    assert judged("{{ x.__class__ }}{{ ")[1] == "blocked"


def test_a_finding_names_its_place():
    scan = scan_bytes(b"{{ a }}\n{{ x.__class__ }}")
    (finding,) = scan.findings
    assert scan.format == "jinja" and finding.offset == 13 and "__class__" in finding.preview
