/* Decides which modules the reader of a pickle has to import.
 *
 * Happy path: pickle_scan() finds no name, and that is all. Else a second walk follows just as much
 * of the pickle machine as names need: the three values pushed last, and those strings of the memo
 * that could be names.
 *   GLOBAL, INST    -> module and name are the two lines of their argument
 *   STACK_GLOBAL    -> they are the two strings pushed last
 *   TUPLE1          -> a module itself, where an importing function stands before its one string
 * Failure modes: a string that came from elsewhere, or from beyond the bound of the memo, is not
 * known, and then the module is not in the list. Nothing is executed. */
#include <string.h>

#include "base/mem.h"
#include "base/needs.h"
#include "base/pickle.h"

/* Strings that are remembered: enough for functions by value with hundreds of others in tow. Only
 * what is named again after so many others is lost. */
enum { MEMO_MAX = 4096, TEXT_MAX = 200, PUSHED = 3 };

/* Of the standard library what all of CPython 3.9 to 3.13 have on every system, and how Python 2
 * called it, for that is what stands in streams of protocol 2. */
static const char standard[] =
	","
	"__future__,_abc,_ast,_asyncio,_bisect,_codecs,_collections,_collections_abc,"
	"_compat_pickle,_contextvars,_csv,_datetime,_decimal,_elementtree,"
	"_frozen_importlib,_frozen_importlib_external,_functools,_heapq,_imp,_io,_json,"
	"_locale,_lsprof,_markupbase,_multibytecodec,_multiprocessing,_opcode,_operator,"
	"_pickle,_posixsubprocess,_py_abc,_pydecimal,_pyio,_queue,_random,_signal,"
	"_sitebuiltins,_socket,_sre,_stat,_statistics,_string,_strptime,_struct,_symtable,"
	"_thread,_threading_local,_warnings,_weakref,_weakrefset,_zoneinfo,abc,argparse,"
	"array,ast,asyncio,atexit,base64,bdb,binascii,bisect,builtins,cProfile,calendar,"
	"cmath,cmd,code,codecs,codeop,collections,colorsys,compileall,concurrent,"
	"configparser,contextlib,contextvars,copy,copyreg,csv,dataclasses,datetime,decimal,"
	"difflib,dis,doctest,email,encodings,enum,errno,faulthandler,fcntl,filecmp,"
	"fileinput,fnmatch,fractions,ftplib,functools,gc,genericpath,getopt,getpass,"
	"gettext,glob,graphlib,grp,gzip,hashlib,heapq,hmac,html,http,imaplib,importlib,"
	"inspect,io,ipaddress,itertools,json,keyword,linecache,locale,logging,mailbox,"
	"marshal,math,mimetypes,mmap,modulefinder,multiprocessing,netrc,ntpath,numbers,"
	"opcode,operator,optparse,os,pathlib,pdb,pickle,pickletools,pkgutil,platform,"
	"plistlib,poplib,posix,posixpath,pprint,profile,pstats,pty,pwd,py_compile,pyclbr,"
	"pydoc,pyexpat,queue,quopri,random,re,reprlib,resource,runpy,sched,secrets,select,"
	"selectors,shelve,shlex,shutil,signal,site,smtplib,socket,socketserver,stat,"
	"statistics,string,stringprep,struct,subprocess,symtable,sys,sysconfig,syslog,"
	"tabnanny,tarfile,tempfile,termios,textwrap,threading,time,timeit,token,tokenize,"
	"trace,traceback,tracemalloc,tty,types,typing,unicodedata,unittest,urllib,uuid,"
	"warnings,wave,weakref,webbrowser,wsgiref,xml,xmlrpc,zipapp,zipfile,zipimport,"
	"zoneinfo,"
	"BaseHTTPServer,ConfigParser,Cookie,HTMLParser,Queue,SocketServer,UserDict,"
	"UserList,UserString,__builtin__,_abcoll,cookielib,copy_reg,dummy_thread,"
	"exceptions,htmlentitydefs,httplib,markupbase,repr,robotparser,thread,urllib2,"
	"urlparse,xmlrpclib,";

enum value_kind { OTHER, STRING, IMPORTER };

struct value {
	const uint8_t *text; /* of a STRING */
	uint32_t memo;	     /* its number there, while it stands there */
	uint8_t len, kind;
};

struct reader {
	struct needs found;	     /* its modules only */
	struct value pushed[PUSHED]; /* the last one first */
	struct value *memo;	     /* by number */
	uint32_t memo_count, memo_next;
};

static void push(struct reader *r, struct value v)
{
	memmove(r->pushed + 1, r->pushed, sizeof *r->pushed * (PUSHED - 1));
	r->pushed[0] = v;
}

static void push_string(struct reader *r, const struct pickle_op *op)
{
	bool kept = op->arg_len >= 1 && op->arg_len <= TEXT_MAX;
	push(r,
	     kept ? (struct value){ .text = op->arg, .len = (uint8_t)op->arg_len, .kind = STRING }
		  : (struct value){ 0 });
}

/* The pickler numbers in ascending order, so the memo is sorted. */
static void put(struct reader *r, uint32_t number)
{
	struct value v = r->pushed[0];
	r->memo_next = number + 1;
	if (v.kind == OTHER || r->memo_count == MEMO_MAX ||
	    (r->memo_count && r->memo[r->memo_count - 1].memo >= number))
		return;
	v.memo = number;
	r->memo[r->memo_count++] = v;
}

static struct value get(const struct reader *r, uint32_t number)
{
	uint32_t low = 0, high = r->memo_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (r->memo[middle].memo < number)
			low = middle + 1;
		else
			high = middle;
	}
	bool found = low < r->memo_count && r->memo[low].memo == number;
	return found ? r->memo[low] : (struct value){ 0 };
}

static bool is_standard(const char *name, size_t len)
{
	char entry[1 + NEEDS_MODULE_MAX + 1];
	entry[0] = entry[len + 1] = ',';
	memcpy(entry + 1, name, len);
	return memmem(standard, sizeof standard - 1, entry, len + 2);
}

/* Notes the top-level name of a module. */
static void found(struct reader *r, const char *module, size_t len)
{
	static const char *const own[] = { "__main__", "__mp_main__", "farhand" };
	const char *dot = memchr(module, '.', len);
	size_t top = dot ? (size_t)(dot - module) : len;
	if (top > NEEDS_MODULE_MAX || is_standard(module, top))
		return;
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (top == strlen(own[i]) && memcmp(module, own[i], top) == 0)
			return;
	needs_add_module(&r->found, module, top);
}

static bool equals(const char *text, size_t len, const char *expected)
{
	return len == strlen(expected) && memcmp(text, expected, len) == 0;
}

/* A module is pickled as the call of a function that imports it by name. */
static bool is_importer(const char *module, size_t module_len, const char *name, size_t name_len)
{
	static const struct {
		const char *module, *name;
	} importers[] = { { "cloudpickle.cloudpickle", "subimport" },
			  { "dill._dill", "_import_module" },
			  { "importlib", "import_module" } };
	for (size_t i = 0; i < sizeof importers / sizeof *importers; i++)
		if (equals(module, module_len, importers[i].module) &&
		    equals(name, name_len, importers[i].name))
			return true;
	return false;
}

static void name(struct reader *r, const char *module, size_t module_len, const char *name_text,
		 size_t name_len)
{
	bool importer = is_importer(module, module_len, name_text, name_len);
	found(r, module, module_len);
	push(r, (struct value){ .kind = importer ? IMPORTER : OTHER });
}

static void name_lines(struct reader *r, const struct pickle_op *op)
{
	const char *module = (const char *)op->arg, *end = module + op->arg_len;
	const char *newline = memchr(module, '\n', op->arg_len);
	name(r, module, (size_t)(newline - module), newline + 1, (size_t)(end - newline - 2));
}

static void name_pushed(struct reader *r)
{
	struct value text = r->pushed[0], module = r->pushed[1];
	if (text.kind == STRING && module.kind == STRING)
		name(r, (const char *)module.text, module.len, (const char *)text.text, text.len);
	else
		push(r, (struct value){ 0 });
}

/* A tuple of one: the arguments of an importer, or of no interest. */
static void pack(struct reader *r)
{
	struct value text = r->pushed[0];
	if (text.kind == STRING && r->pushed[1].kind == IMPORTER)
		found(r, (const char *)text.text, text.len);
	push(r, (struct value){ 0 });
}

static uint32_t number_of(const struct pickle_op *op)
{
	uint32_t number = 0;
	for (size_t i = 0; i < op->arg_len; i++)
		number |= (uint32_t)op->arg[i] << (8 * i);
	return number;
}

static void step(struct reader *r, const struct pickle_op *op)
{
	switch (op->code) {
	case 0x80: /* PROTO */
	case 0x95: /* FRAME */
		break;
	case 0x8C: /* SHORT_BINUNICODE */
	case 'X':  /* BINUNICODE */
		push_string(r, op);
		break;
	case 0x94: /* MEMOIZE */
		put(r, r->memo_next);
		break;
	case 'q': /* BINPUT */
	case 'r': /* LONG_BINPUT */
		put(r, number_of(op));
		break;
	case 'h': /* BINGET */
	case 'j': /* LONG_BINGET */
		push(r, get(r, number_of(op)));
		break;
	case PICKLE_GLOBAL:
	case PICKLE_INST:
		name_lines(r, op);
		break;
	case PICKLE_STACK_GLOBAL:
		name_pushed(r);
		break;
	case 0x85: /* TUPLE1 */
		pack(r);
		break;
	default:
		push(r, (struct value){ 0 });
		break;
	}
}

/* The stream is known to be whole, and to name something. */
static int read(const void *data, size_t len, char **ret_modules)
{
	struct reader r = { .memo = fh_malloc(MEMO_MAX * sizeof *r.memo) };
	struct pickle_walk w;
	struct pickle_op op;
	if (!r.memo)
		return FH_ENOMEM;
	int ret = pickle_walk_init(&w, data, len);
	if (ret == 0)
		while ((ret = pickle_next(&w, &op)) > 0)
			step(&r, &op);
	fh_free(r.memo);
	if (ret < 0 || !*r.found.modules)
		return ret;
	*ret_modules = fh_strdup(r.found.modules);
	return *ret_modules ? 0 : FH_ENOMEM;
}

int pickle_modules(const void *data, size_t len, char **ret_modules)
{
	bool names;
	char *modules = NULL;
	int ret = pickle_scan(data, len, &names);
	if (ret == 0 && names)
		ret = read(data, len, &modules);
	if (ret == 0)
		*ret_modules = modules;
	return ret;
}
